// The decision, the table of routes, and each route's reasons.

function banner(page) {
  const signs = { failed: "✗", passed: "✓", undecided: "?", none: "○" };
  const leads = page.lead.map((lead) => make("li", {},
    make("p", { class: "lead-step" },
      lead.steps.length ? lead.steps[0] : lead.reason),
    make("p", { class: "quiet" },
      linkTo({ route: lead.route }, lead.route), ` · ${lead.scorer} ${lead.size}`),
    make("p", { class: "quiet" },
      lead.cases ? [linkTo({ route: lead.route, standing: "worse" }, `${plural(lead.cases, "case")} worse`),
        lead.broken ? `, ${lead.broken} of them broken` : ""] : null,
      lead.owners.length ? ` · owner ${lead.owners.join(", ")}` : null)));
  return make("section", { class: `banner ${page.decision}`, "aria-labelledby": "decision" },
    make("p", { class: "sign", "aria-hidden": "true" }, signs[page.decision]),
    make("div", {}, make("h1", { id: "decision" }, page.headline), leads.length ? make("ul", { class: "leads" }, leads) : null));
}

function versions(page) {
  const one = (run, role) => make("div", { class: `version ${role}` },
    make("span", { class: "role" }, role), make("strong", {}, run.label),
    make("span", { class: "quiet" }, `${run.when} UTC · ${plural(run.cases, "case")} × ${run.per_case}`,
      run.status === "complete" ? null : make("b", {}, ` · ${run.status}`)),
    make("span", { class: "quiet mono" }, run.run, run.commit ? ` · ${run.commit.slice(0, 12)}` : ""));
  return make("div", { class: "versions" },
    make("p", { class: "suite" }, linkTo({}, page.suite), make("span", { class: "quiet" }, " evalkit report")),
    page.baseline ? one(page.baseline, "baseline") : null, one(page.run, page.baseline ? "candidate" : "run"));
}

/** Rows of the table: a route's name and what it took stand beside its first scorer. */
function routeTable(page) {
  const compared = Boolean(page.baseline);
  const reach = Math.max(0.1, ...page.routes.flatMap((route) => route.rows.flatMap((row) => row.at.map((v) => Math.abs(v || 0)))));
  const took = page.routes.length ? page.routes[0].took.map(([name]) => name) : [];
  const head = ["Route", "Scorer", ...(compared ? ["Baseline"] : []), compared ? "Candidate" : "Mean",
    ...(compared ? ["Difference, 95 % interval", "Verdict"] : []), ...took.filter((n) => n !== "latency p99")];
  const body = page.routes.map((route) => make("tbody", {}, route.rows.map((row, at) => make("tr", { class: TONES[row.verdict] === "bad" ? "bad" : null },
    at === 0 ? make("th", { scope: "rowgroup", rowspan: route.rows.length, class: "route" }, linkTo({ route: route.name }, route.name),
      make("span", { class: "quiet" }, ` ${plural(route.cases, "case")}`, route.lost ? ` · ${route.lost} trials lost` : "")) : null,
    make("td", { class: "scorer" }, row.scorer),
    compared ? make("td", { class: "figure", "data-is": "baseline" }, row.baseline) : null,
    make("td", { class: "figure", "data-is": compared ? "candidate" : "mean" }, row.candidate),
    compared ? make("td", { class: "difference", "data-is": "difference" }, forest(row.at, reach),
      make("span", { class: "figure" }, row.difference, " ", make("span", { class: "quiet" }, row.interval))) : null,
    compared ? make("td", { class: "verdict" }, chip(row.verdict, row.reason)) : null,
    at === 0 ? route.took.filter(([name]) => name !== "latency p99").map(([name, was, now]) =>
      make("td", { class: "figure took", rowspan: route.rows.length, "data-is": name },
        compared ? [make("span", { class: "quiet" }, was, " →"), " ", make("span", {}, now)] : now)) : null))));
  return make("section", { "aria-labelledby": "routes" }, heading(2, "Routes", "routes"),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Routes by scorer" },
      make("table", { class: "routes" }, make("thead", {}, make("tr", {}, head.map((name) => make("th", { scope: "col" }, name)))), body)));
}

function routeSections(page) {
  const bad = (route) => route.rows.some((row) => ["bad", "warn"].includes(TONES[row.verdict]));
  return make("section", { "aria-labelledby": "why" }, heading(2, "Route by route", "why"),
    page.routes.map((route, at) => {
      const section = make("details", { class: "card route", id: `route-${at}` },
        make("summary", {}, make("strong", {}, route.name), " ", worst(route),
          make("span", { class: "quiet" }, ` ${plural(route.cases, "case")}, ${plural(route.trials, "trial")}`)));
      const show = () => { if (section.children.length === 1) section.append(routeBody(page, route)); };
      section.addEventListener("toggle", () => section.open && show());
      section.showBody = show;
      if (bad(route) && at < 5) { section.open = true; show(); }
      return section;
    }));
}

function worst(route) {
  const order = ["broken", "regressed", "missing", "unmeasurable", "inconclusive", "new", "improved", "ok"];
  const found = route.rows.map((row) => row.verdict).sort((a, b) => order.indexOf(a) - order.indexOf(b));
  return chip(found[0]);
}

function routeBody(page, route) {
  return make("div", { class: "body" }, reasons(route), goldenPath(page, route),
    make("div", { class: "panels" }, curves(page, route),
      distribution(page, "Latency", route.latency, seconds, route, ["latency p50", "latency p99"]),
      distribution(page, "Tokens per trial", route.tokens, (v) => count(Math.round(v)), route, ["tokens"]),
      surplus(page, route), tools(page, route)),
    worstCases(route));
}

function reasons(route) {
  const told = route.rows.filter((row) => row.reason && row.verdict !== "ok");
  if (!told.length) return make("p", { class: "quiet" }, route.rows.map((row) => `${row.scorer}: ${row.reason}`).join(". "));
  let last = "";
  return make("ul", { class: "reasons" }, told.map((row) => {
    const steps = row.steps.join("|") === last ? [] : row.steps;
    last = row.steps.join("|");
    return make("li", {}, make("b", {}, row.scorer), " ", chip(row.verdict), ` ${row.reason}`,
      steps.length ? make("ul", {}, steps.map((step) => make("li", {}, step))) : null);
  }));
}

/** The expected steps in order, each with its fail rate; where it got worse is lit. */
function goldenPath(page, route) {
  if (!route.path.length) return null;
  const compared = Boolean(page.baseline);
  const steps = route.path.map((step) => make("li", { class: `step ${step.first ? "lit first" : step.lit ? "lit" : ""}`, title: step.kinds.join("; ") || null },
    make("span", { class: "step-name" }, stepName(step.name), step.nth ? ` (${step.nth + 1})` : ""),
    make("span", { class: "rate" }, make("b", {}, step.rate), step.share ? " fail" : " fail",
      compared && step.before !== null ? make("span", { class: "was-rate" }, `, ${step.before} before`) : null),
    make("span", { class: "meter", "aria-hidden": "true", "--share": step.share || 0 }),
    make("span", { class: "quiet" }, step.optional ? "optional, " : "", step.cases < route.cases ? `in ${step.cases} of ${route.cases} cases` : "in all cases",
      step.trials < route.trials ? `, ${step.trials} of ${plural(route.trials, "trial")}` : ""),
    step.first ? make("span", { class: "here" }, compared ? "fails first here" : "fails here") : null));
  return make("section", {}, heading(3, "Fail rate by step, along the expected path"),
    make("ol", { class: "path" }, steps),
    route.beside.length ? make("p", { class: "quiet" }, `Beside the path: ${route.beside.join("; ")}`) : null);
}

function panel(title, ...content) {
  return make("section", { class: title.startsWith("Tools") ? "panel broad" : "panel" }, heading(3, title), ...content);
}

function key(page) {
  return page.baseline ? make("p", { class: "key" }, make("span", { class: "was-key" }, "baseline"), " ", make("span", { class: "now-key" }, "candidate")) : null;
}

/** Tools: which one was expected, which one was chosen. */
function tools(page, route) {
  const found = route.confusion;
  if (!found) return null;
  const most = Math.max(1, ...found.counts.flat());
  return panel("Tools: expected → chosen",
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Tools expected and chosen" }, make("table", { class: "confusion" },
      make("thead", {}, make("tr", {}, make("td", { class: "quiet" }, "expected ↓"), found.chosen.map((name) => make("th", { scope: "col" }, make("span", {}, name))))),
      make("tbody", {}, found.expected.map((name, row) => make("tr", {}, make("th", { scope: "row" }, name),
        found.counts[row].map((many, column) => make("td", { class: many ? (found.right[row][column] ? "right" : "wrong") : "none", "--share": Math.sqrt(many / most) },
          many ? count(many) : "·",
          found.before && found.before[row][column] !== many ? make("small", { title: "in the baseline" }, ` (${count(found.before[row][column])})`) : null))))))),
    make("p", { class: "quiet" }, "decisions to call a tool", found.before ? "; in parentheses the baseline, where it differs" : "", found.left_out ? `; ${found.left_out} of other tools` : ""),
    route.chosen_well.map((said) => make("p", { class: "quiet" }, said)));
}

function surplus(page, route) {
  if (!route.causes.length && !route.economy) return null;
  const most = Math.max(1, ...route.causes.flatMap(([, was, now]) => [was || 0, now]));
  return panel("Surplus steps by cause", key(page), route.economy ? make("p", { class: "quiet" }, route.economy) : null, make("dl", { class: "bars" }, route.causes.map(([name, was, now]) => [
    make("dt", {}, name),
    make("dd", {}, was === null ? null : make("span", { class: "bar was", "--share": was / most }, count(was)),
      make("span", { class: "bar now", "--share": now / most }, count(now)))])));
}

function curves(page, route) {
  const shown = route.pass_hat.filter(([name, was, now]) => page.on.includes(name) && Math.max(was.length, now.length) > 1);
  if (!shown.length) return null;
  return panel("pass^k: all of k trials pass", key(page), shown.map(([name, was, now]) => make("figure", {},
    make("figcaption", {}, name, " ", make("span", { class: "quiet" }, `${was.length ? `${number(was[was.length - 1])} → ` : ""}${number(now[now.length - 1])} at k = ${now.length}`)), passCurve(was, now))));
}

function distribution(page, title, data, sayValue, route, fields) {
  if (!data) return null;
  const told = route.took.filter(([name]) => fields.includes(name)).map(([name, was, now]) =>
    `${name === "tokens" ? "mean" : name.replace("latency ", "")} ${page.baseline ? `${was} → ` : ""}${now}`);
  return panel(title, key(page), histogram(data, sayValue, title), make("p", { class: "quiet" }, told.join(" · ")));
}

function worstCases(route) {
  const seen = new Map();
  for (const row of route.rows) for (const [id, passes, broken] of row.changes) if (!seen.has(id)) seen.set(id, [row.scorer, passes, broken]);
  if (!seen.size) return null;
  const shown = [...seen].slice(0, 8);
  return make("section", {}, heading(3, "Cases that got worse"),
    make("ul", { class: "worse" }, shown.map(([id, [scorer, passes, broken]]) => make("li", {}, linkTo({ case: id }, id),
      make("span", { class: "quiet" }, ` ${scorer}: trials passed ${passes}`), broken ? [" ", chip("broken")] : null))),
    make("p", {}, linkTo({ route: route.name, standing: "worse" }, seen.size > 8 ? `All ${seen.size} of them` : "In the list of cases")));
}

function histories(page) {
  const many = page.history.filter((found) => found.points.length > 1);
  if (!many.length) return null;
  const routes = [...new Set(many.map((found) => found.route))];
  return make("section", { "aria-labelledby": "history" }, heading(2, "History", "history"), routes.map((name, at) => {
    const section = make("details", { class: "card" }, make("summary", {}, make("strong", {}, name), make("span", { class: "quiet" }, ` ${changed(many.filter((one) => one.route === name))}`)));
    const show = () => {
      if (section.children.length > 1) return;
      section.append(make("div", { class: "panels wide" }, many.filter((one) => one.route === name).map((found) => make("figure", {},
        make("figcaption", {}, found.scorer), historyChart(found), make("ul", {}, found.changes.map((change) => make("li", {}, changeText(found, change))))))));
    };
    section.showBody = show;
    section.addEventListener("toggle", () => section.open && show());
    if (at === 0) { section.open = true; show(); }
    return section;
  }));
}

function changed(found) {
  const changes = found.reduce((sum, one) => sum + one.changes.length, 0);
  return `${plural(found[0].points.length, "run")}, ${changes ? plural(changes, "change") : "no change that these runs show"}`;
}

function changeText(found, change) {
  const p = change.p_adjusted < 0.001 ? "< 0.001" : `= ${change.p_adjusted.toFixed(3)}`;
  const between = change.earliest === change.latest ? "" : `; 95 % sure that it lies between ${change.earliest} and ${change.latest}`;
  const commit = change.commit ? `, commit ${change.commit.slice(0, 12)}` : "";
  return `${number(change.before)} → ${number(change.after)} at ${change.label} (${change.run}${commit}), p ${p}${between}`;
}
