// Loads a report five times and prints, as JSON, after how many ms each was ready to be used.
// Usage: node load.cjs NODE_MODULES CHROMIUM FILE CASE

const path = require("path");
const [modules, executablePath, file, wanted] = process.argv.slice(2);
const { chromium } = require(path.join(modules, "playwright-core"));
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--no-first-run"];

async function load() {
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  const found = { ready: [], problems: [] };
  let page;
  for (let at = 0; at < 5; at += 1) {
    const context = await browser.newContext();
    page = await context.newPage();
    page.on("console", (message) => { if (message.type() === "error") found.problems.push(message.text()); });
    page.on("pageerror", (error) => found.problems.push(String(error)));
    await page.goto(`file://${file}`);
    await page.waitForSelector("html[data-ready]");
    found.ready.push(Number(await page.getAttribute("html", "data-ready")));
    found.rows = await page.$$eval("table.cases tbody tr", (all) => all.length);
    if (at < 4) await context.close();
  }
  await page.fill("#search", wanted);
  const start = Date.now();
  await page.waitForFunction((id) => document.querySelector("table.cases tbody a")?.textContent.startsWith(id), wanted);
  found.search = Date.now() - start;
  await page.goto(`file://${file}#${new URLSearchParams({ case: wanted })}`);
  await page.waitForSelector("article.case");
  found.opened = await page.textContent("article.case h1");
  await browser.close();
  return found;
}

load().then((found) => console.log(JSON.stringify(found)), (error) => { console.error(error); process.exit(1); });
