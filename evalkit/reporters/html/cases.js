// The list of cases: search, filters, pages. What is chosen is in the address.

const PAGE = 25;
const FILTERS = ["q", "route", "standing", "tag", "scorer"];

/** The list's columns with what they are searched by. */
function listOf(page) {
  const columns = page.cases;
  const text = (at) => at === null ? "" : columns.texts[at];
  const names = page.standings.map(([name]) => name);
  const ids = new Map(columns.id.map((id, at) => [id, at]));
  let haystack = null;
  return {
    columns, text, ids, length: columns.id.length,
    standing: (at) => names[columns.standing[at]],
    haystack: (at) => {
      haystack = haystack || columns.id.map((id, one) => [id, text(columns.route[one]), text(columns.owner[one]),
        ...columns.tags[one].map(text), text(columns.reason[one])].join("\n").toLowerCase());
      return haystack[at];
    },
  };
}

function matching(page, list, chosen) {
  const { columns, text } = list;
  const words = (chosen.q || "").toLowerCase().split(/\s+/).filter(Boolean);
  const scorer = chosen.scorer ? page.scorers.indexOf(chosen.scorer) : -1;
  const failing = new Set(["broken", "worse", "failing"]);
  const found = [];
  for (let at = 0; at < list.length; at += 1) {
    const standing = list.standing(at);
    if (chosen.route && text(columns.route[at]) !== chosen.route) continue;
    if (chosen.standing === "worse" ? !["broken", "worse"].includes(standing)
      : chosen.standing === "any failure" ? !failing.has(standing) && standing !== "lost"
      : chosen.standing && standing !== chosen.standing) continue;
    if (chosen.tag && !columns.tags[at].some((tag) => text(tag) === chosen.tag)) continue;
    if (chosen.scorer && !columns.failed[at].includes(scorer)) continue;
    if (words.length && !words.every((word) => list.haystack(at).includes(word))) continue;
    found.push(at);
  }
  return found;
}

function caseSection(page, list, chosen, go) {
  const choose = (name, value) => go({ ...chosen, [name]: value, page: "" });
  const select = (name, label, options) => options.length < 2 ? null : make("label", {}, label,
    make("select", { id: `filter-${name}`, onchange: (event) => choose(name, event.target.value) },
      make("option", { value: "" }, "all"),
      options.map(([value, said]) => make("option", { value, selected: chosen[name] === value }, said))));
  const tags = new Set();
  list.columns.tags.forEach((tagged) => tagged.forEach((tag) => tags.add(tag)));
  const counts = new Map();
  list.columns.standing.forEach((at) => counts.set(at, (counts.get(at) || 0) + 1));
  const standings = page.standings.map(([name], at) => [name, `${name === "worse" && page.baseline ? "worse or broken" : name} (${count((counts.get(at) || 0) + (name === "worse" ? counts.get(0) || 0 : 0))})`])
    .filter(([, said]) => !said.endsWith("(0)"));
  let waiting = 0;
  const search = make("input", { id: "search", type: "search", value: chosen.q || "", placeholder: "id, owner, tag, reason …", autocomplete: "off", spellcheck: "false",
    oninput: (event) => { clearTimeout(waiting); waiting = setTimeout(() => choose("q", event.target.value), list.length > 5000 ? 200 : 60); } });
  return make("section", { "aria-labelledby": "cases" }, heading(2, "Cases", "cases"),
    make("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      make("label", { class: "search" }, "Search", make("kbd", { "aria-hidden": "true" }, "/"), search),
      select("route", "Route", page.routes.map((route) => [route.name, route.name])),
      select("standing", "Standing", [...standings, ["any failure", "any failure"]]),
      select("tag", "Tag", [...tags].map((at) => list.text(at)).sort().map((name) => [name, name])),
      select("scorer", "Fails", page.scorers.map((name) => [name, name])),
      make("button", { type: "button", id: "clear", onclick: () => { go({}); document.getElementById("search").focus(); } }, "Clear")),
    make("div", { id: "list" }));
}

function caseTable(page, list, chosen, go) {
  const found = matching(page, list, chosen);
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  const current = Math.min(pages, Math.max(1, Number(chosen.page) || 1));
  const shown = found.slice((current - 1) * PAGE, current * PAGE);
  const gating = page.on.map((name) => page.scorers.indexOf(name)).filter((at) => at >= 0);
  const { columns, text } = list;
  const score = (at, scorer) => {
    const before = columns.before[scorer][at], now = columns.means[scorer][at], passed = columns.passed[scorer][at];
    return make("td", { class: "figure", "data-is": page.scorers[scorer] },
      page.baseline ? make("span", { class: "quiet" }, number(before), " → ") : null,
      make("span", { class: before !== null && now !== null && now < before ? "down" : null }, number(now)),
      passed && passed[1] ? make("span", { class: "quiet" }, ` ${passed[0]}/${passed[1]}`) : null);
  };
  say(`${plural(found.length, "case")} found`);
  return [
    make("p", { class: "found" }, make("b", {}, plural(found.length, "case")), found.length < list.length ? ` of ${count(list.length)}` : "",
      pages > 1 ? ` · page ${count(current)} of ${count(pages)}` : "", page.detailed < list.length ? ` · the traces of ${count(page.detailed)} are in this file, the most urgent ones` : ""),
    found.length ? make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Cases" }, make("table", { class: "cases" },
      make("thead", {}, make("tr", {}, ["Case", "Standing", "Route", ...gating.map((at) => page.scorers[at]), "Why"].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, shown.map((at) => make("tr", {},
        make("th", { scope: "row" }, make("a", { href: `#${new URLSearchParams({ case: columns.id[at] })}`, dir: "auto" }, columns.id[at])),
        make("td", {}, chip(list.standing(at), page.standings[columns.standing[at]][1]),
          columns.lost[at] ? make("span", { class: "quiet" }, ` ${columns.lost[at]} lost`) : null),
        make("td", { class: "quiet" }, text(columns.route[at])),
        gating.map((scorer) => score(at, scorer)),
        make("td", { class: "why", dir: "auto" }, text(columns.reason[at]))))))) : make("p", { class: "empty" }, "No case matches. Clear a filter."),
    pages > 1 ? make("nav", { class: "pages", "aria-label": "Pages of cases" },
      make("button", { type: "button", disabled: current === 1, onclick: () => go({ ...chosen, page: current - 1 }) }, "← Previous"),
      make("button", { type: "button", disabled: current === pages, onclick: () => go({ ...chosen, page: current + 1 }) }, "Next →")) : null,
  ];
}
