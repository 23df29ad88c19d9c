// What is shown follows the address: #case=ID is a case, all else the overview with its filters.

async function start() {
  const main = document.getElementById("main");
  let page;
  try {
    page = await readIsland("overview");
  } catch (error) {
    main.replaceChildren(make("p", { class: "empty" }, `This report cannot be read: ${error.message}. Is the file complete?`));
    return;
  }
  const list = listOf(page);
  let chosen = {};
  let left = 0;
  let overview = null;
  document.getElementById("top").append(versions(page));

  function address(filters) {
    const kept = Object.entries(filters).filter(([, value]) => value !== "" && value !== undefined);
    return `#${new URLSearchParams(kept)}`;
  }
  function go(filters) {
    chosen = filters;
    history.replaceState(null, "", address(filters));
    refresh();
  }
  function refresh() {
    document.getElementById("list").replaceChildren(...caseTable(page, list, chosen, go).filter(Boolean));
    for (const name of FILTERS.slice(1)) {
      const select = document.getElementById(`filter-${name}`);
      if (select) select.value = chosen[name] || "";
    }
    const search = document.getElementById("search");
    if (search.value !== (chosen.q || "")) search.value = chosen.q || "";
  }
  function showOverview() {
    if (!overview) {
      overview = [banner(page), routeTable(page), notes(page), routeSections(page), histories(page), caseSection(page, list, chosen, go)].filter(Boolean);
    }
    main.replaceChildren(...overview);
    document.title = `${page.headline} · ${page.suite}`;
    refresh();
  }
  function aim() {
    const plain = chosen.route && Object.keys(chosen).length === 1;
    const section = plain && document.getElementById(`route-${page.routes.findIndex((route) => route.name === chosen.route)}`);
    if (section) {
      section.open = true;
      section.showBody();
      section.scrollIntoView({ block: "start" });
      section.querySelector("summary").focus({ preventScroll: true });
    } else if (Object.keys(chosen).length) {
      document.getElementById("cases").scrollIntoView({ block: "start" });
    }
  }
  async function showCase(at) {
    const found = matching(page, list, chosen);
    const place = found.indexOf(at);
    const link = (one) => one === undefined ? null : `#${new URLSearchParams({ case: list.columns.id[one] })}`;
    const near = { before: place > 0 ? link(found[place - 1]) : null, after: place >= 0 ? link(found[place + 1]) : null };
    const view = await caseView(page, list, at, near, address(chosen));
    main.replaceChildren(view);
    document.title = `${list.columns.id[at]} · ${page.suite}`;
    window.scrollTo(0, 0);
    document.getElementById("case").focus({ preventScroll: true });
  }
  async function follow(first) {
    const parameters = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    if (parameters.case !== undefined && list.ids.has(parameters.case)) {
      if (document.getElementById("list")) left = window.scrollY;
      await showCase(list.ids.get(parameters.case));
      return;
    }
    if (["main", "decision"].includes(location.hash.slice(1))) return;
    const same = document.getElementById("case") !== null;
    chosen = parameters.case === undefined ? Object.fromEntries([...FILTERS, "page"].filter((name) => parameters[name]).map((name) => [name, parameters[name]])) : {};
    showOverview();
    if (parameters.case !== undefined) {
      document.getElementById("list").prepend(make("p", { class: "empty", role: "alert" }, `This report has no case ${parameters.case}`));
      document.getElementById("cases").scrollIntoView();
    } else if (same && !first) window.scrollTo(0, left);
    else aim();
  }
  window.addEventListener("hashchange", () => follow(false));
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { if (one.showBody) one.showBody(); one.open = true; }));
  window.addEventListener("keydown", keys);
  await follow(true);
  requestAnimationFrame(() => setTimeout(() => { document.documentElement.dataset.ready = String(Math.round(performance.now())); }));
}

function notes(page) {
  if (!page.notes.length) return null;
  return make("section", { class: "notes", "aria-labelledby": "notes" }, heading(2, "To know", "notes"), make("ul", {}, page.notes.map((note) => make("li", { dir: "auto" }, note))));
}

/** / searches, Escape leaves a case, the arrows go to the next one. */
function keys(event) {
  const typing = event.target.closest("input, select, textarea, pre, .scroll");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.getElementById("search");
  const click = (selector) => { const found = document.querySelector(selector); if (found) { event.preventDefault(); found.click(); } };
  if (event.key === "/" && search && !typing) { event.preventDefault(); search.scrollIntoView({ block: "center" }); search.focus(); }
  else if (event.key === "Escape") click(".back");
  else if (event.key === "ArrowLeft" && !typing) click(".crumbs [rel=prev]");
  else if (event.key === "ArrowRight" && !typing) click(".crumbs [rel=next]");
}

start();
