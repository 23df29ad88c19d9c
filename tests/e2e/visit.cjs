// Visits a report in headless Chromium and prints, as one JSON object, what a person would meet.
// Usage: node visit.cjs NODE_MODULES CHROMIUM FILE CASE

const path = require("path");
const [modules, executablePath, file, wanted] = process.argv.slice(2);
const { chromium } = require(path.join(modules, "playwright-core"));
const axe = path.join(modules, "axe-core", "axe.min.js");
const url = `file://${file}`;
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--no-first-run"];

const found = { problems: [], requests: [], serious: [] };

async function open(browser, hash, options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: false, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) found.problems.push(message.text()); });
  page.on("pageerror", (error) => found.problems.push(String(error)));
  page.on("dialog", (dialog) => { found.problems.push(`dialog ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (!request.url().startsWith(url) && !request.url().startsWith("data:,")) found.requests.push(request.url()); });
  await page.goto(url + hash);
  await page.waitForSelector("html[data-ready]");
  return page;
}

const rows = (page) => page.$$eval("table.cases tbody tr", (all) => all.length);
const number = async (page) => (await page.textContent(".found b")).trim();

async function look() {
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  const page = await open(browser, "");
  found.ready = Number(await page.getAttribute("html", "data-ready"));
  found.heading = await page.textContent("h1");
  found.lit = await page.$$eval(".step.first .step-name", (all) => all.map((one) => one.textContent));
  found.table = await page.$$eval("table.routes tbody", (all) => all.map((body) => ({
    route: body.querySelector("th a").textContent,
    rows: [...body.rows].map((row) => ({
      scorer: row.querySelector(".scorer").textContent,
      baseline: row.querySelector("[data-is=baseline]")?.textContent,
      candidate: row.querySelector("[data-is=candidate], [data-is=mean]").textContent,
      difference: row.querySelector(".difference .figure")?.textContent,
      verdict: row.querySelector(".verdict")?.textContent,
    })) })));
  found.cases = await number(page);
  const route = found.table[0].route;
  for (const name of ["route", "standing", "scorer"]) {
    if (!(await page.$(`#filter-${name}`))) continue;
    await page.selectOption(`#filter-${name}`, { index: 1 });
    found[`by ${name}`] = await number(page);
    await page.click("#clear");
  }
  await page.fill("#search", wanted);
  await page.waitForFunction((all) => document.querySelector(".found b").textContent !== all, found.cases).catch(() => null);
  found.searched = await rows(page);
  await page.click("table.cases tbody a");
  await page.waitForSelector("article.case");
  found.opened = await page.textContent("article.case h1");
  found.link = decodeURIComponent((await page.evaluate(() => location.hash)).replace(/\+/g, " "));
  found.marks = await page.$$eval(".trial .mark [aria-hidden]", (all) => all.map((one) => one.textContent));
  found.columns = await page.$$eval(".trial h2 .role", (all) => all.map((one) => one.textContent));
  const step = await page.$(".steps button.open");
  if (step) { await step.click(); found.inside = await page.textContent("tr.inside pre"); }
  found.text = await page.textContent("article.case");
  await page.goBack();
  await page.waitForSelector("table.routes");

  const direct = await open(browser, `#${new URLSearchParams({ case: wanted })}`);
  found.followed = await direct.textContent("h1");
  const nowhere = await open(browser, "#case=no-such-case");
  found.nowhere = await nowhere.textContent("[role=alert]");

  const keys = await open(browser, "");
  await keys.keyboard.press("Tab");
  found.skip = await keys.evaluate(() => document.activeElement.className);
  await keys.keyboard.press("Escape");
  await keys.evaluate(() => document.activeElement.blur());
  await keys.keyboard.press("/");
  await keys.keyboard.type(wanted);
  await keys.waitForTimeout(400);
  for (let pressed = 0; pressed < 12; pressed += 1) {
    await keys.keyboard.press("Tab");
    if (await keys.evaluate(() => document.activeElement.closest("table.cases a") !== null)) break;
  }
  await keys.keyboard.press("Enter");
  await keys.waitForSelector("article.case");
  found.keyed = await keys.textContent("h1");
  await keys.keyboard.press("Escape");
  await keys.waitForSelector("table.routes");

  for (const colorScheme of ["light", "dark"]) {
    for (const viewport of [{ width: 1280, height: 900 }, { width: 390, height: 844 }]) {
      for (const hash of ["", `#${new URLSearchParams({ case: wanted })}`]) {
        const checked = await open(browser, hash, { colorScheme, viewport, bypassCSP: true });
        found.overflow = Math.max(found.overflow || 0, await checked.evaluate(() => document.documentElement.scrollWidth - innerWidth));
        await checked.addScriptTag({ path: axe });
        const { violations } = await checked.evaluate(() => window.axe.run());
        for (const one of violations) {
          if (["serious", "critical"].includes(one.impact)) found.serious.push([colorScheme, viewport.width, hash, one.id, one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + node.failureSummary)]);
        }
        await checked.context().close();
      }
    }
  }
  await browser.close();
}

look().then(() => console.log(JSON.stringify(found)), (error) => { console.error(error); process.exit(1); });
