// One case: its scores, and each trial's steps beside the expected ones, with their time.

const LEGEND = { "✓": "as expected", "−": "missing", "+": "not expected", "≠": "wrong arguments", "↕": "out of order", "!": "forbidden", "·": "not compared" };
const ROW_TONES = { "✓": "good", "·": "calm" };

/** The details of the case at that place in the list; null if this file does not hold them. */
const opened = new Map();
async function detailsAt(page, at) {
  if (at >= page.detailed) return null;
  let number = page.packs.length - 1;
  while (page.packs[number] > at) number -= 1;
  if (!opened.has(number)) opened.set(number, readIsland(`pack-${number}`));
  const pack = await opened.get(number);
  return pack[at - page.packs[number]];
}

async function caseView(page, list, at, near, back) {
  const { columns, text } = list;
  const id = columns.id[at];
  const found = await detailsAt(page, at);
  const standing = list.standing(at);
  const owner = text(columns.owner[at]);
  const tags = columns.tags[at].map(text);
  return make("article", { class: "case", "aria-labelledby": "case" },
    make("nav", { class: "crumbs", "aria-label": "Cases" }, make("a", { href: back, class: "back" }, "← All cases"),
      near.before ? make("a", { href: near.before, rel: "prev" }, "← Previous") : null, near.after ? make("a", { href: near.after, rel: "next" }, "Next →") : null),
    make("h1", { id: "case", tabindex: "-1", dir: "auto" }, id),
    make("p", {}, chip(standing, page.standings[columns.standing[at]][1]), " ",
      make("span", { class: "quiet" }, `${page.standings[columns.standing[at]][1]} · route `), text(columns.route[at]),
      make("span", { class: "quiet" }, owner ? ` · owner ${owner}` : "", tags.length ? ` · ${tags.join(", ")}` : "")),
    scoreTable(page, columns, at),
    found && found.asked ? asked(found.asked) : null,
    found ? trials(page, found) : make("p", { class: "empty" },
      `The traces of this case are not in this file, which holds the ${count(page.detailed)} most urgent ones: `, make("code", {}, `evalkit show ${page.run.run} CASE`)));
}

function scoreTable(page, columns, at) {
  const rows = page.scorers.map((name, scorer) => [name, columns.before[scorer][at], columns.means[scorer][at], columns.passed[scorer][at]])
    .filter(([, before, now, passed]) => before !== null || now !== null || passed);
  if (!rows.length) return make("p", { class: "empty" }, "Nothing scored this case.");
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores of this case" }, make("table", { class: "scores" },
    make("thead", {}, make("tr", {}, ["Scorer", ...(page.baseline ? ["Baseline"] : []), page.baseline ? "Candidate" : "Mean", "Passed"].map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, rows.map(([name, before, now, passed]) => make("tr", {}, make("th", { scope: "row" }, name, page.on.includes(name) ? make("span", { class: "quiet" }, " gates") : null),
      page.baseline ? make("td", { class: "figure" }, number(before)) : null,
      make("td", { class: `figure ${before !== null && now !== null && now < before ? "down" : ""}` }, number(now)),
      make("td", { class: "figure" }, passed ? `${passed[0]}/${passed[1]}` : UNKNOWN))))));
}

function block(title, content, open) {
  return content === null || content === undefined ? null
    : make("details", { class: "block", open }, make("summary", {}, title), make("pre", { dir: "auto", tabindex: "0" }, content));
}

function asked(given) {
  return make("section", { class: "asked" }, block("Input", given.input, given.input.length < 400), block("Expected of the answer", given.outcome, true),
    block("Limits", given.limits), given.never ? make("p", {}, make("span", { class: "kind" }, "never"), ` ${given.never}`) : null);
}

/** The trials of this run as tabs, and the baseline's beside the chosen one. */
function trials(page, found) {
  if (!found.trials.length) return make("p", { class: "empty" }, "No trial of this case was recorded.");
  const place = make("div", { class: found.baseline.length ? "beside" : "alone" });
  const buttons = found.trials.map((trial, at) => make("button", { type: "button", "aria-pressed": "false", onclick: () => show(at) },
    make("span", { "aria-hidden": "true" }, trial.good ? "✓ " : "✗ "), `trial ${trial.trial}`, make("span", { class: "unseen" }, trial.good ? " passed" : " failed")));
  function show(at) {
    buttons.forEach((button, one) => button.setAttribute("aria-pressed", String(one === at)));
    const columns = [trialColumn(found.trials[at], page.baseline ? "candidate" : "run", page.run.label)];
    if (found.baseline.length) columns.push(trialColumn(found.baseline[0], "baseline", page.baseline.label));
    else if (page.baseline) columns.push(make("p", { class: "empty" }, "The baseline has no trial of this case."));
    place.replaceChildren(...columns);
  }
  show(0);
  return make("section", { "aria-label": "Trials" }, make("div", { class: "tabs", role: "group", "aria-label": "Trials" }, buttons), place, legend());
}

function legend() {
  return make("p", { class: "legend quiet" }, Object.entries(LEGEND).map(([mark, said]) => make("span", {}, make("b", { class: ROW_TONES[mark] || "bad" }, mark), ` ${said}`)));
}

function trialColumn(trial, role, label) {
  const facts = [trial.status === "completed" ? null : trial.status, trial.latency, trial.tokens && `${trial.tokens} tokens`, trial.cost !== UNKNOWN && trial.cost].filter(Boolean);
  return make("section", { class: `trial ${role}`, "aria-label": `${role}, trial ${trial.trial}` },
    make("h2", {}, make("span", { class: "role" }, role), ` ${label}, trial ${trial.trial} `, make("span", { class: "quiet" }, facts.join(" · "))),
    trial.error ? make("p", { class: "error", dir: "auto" }, trial.error) : null,
    trial.taken ? make("p", { class: "quiet" }, `route taken: ${trial.taken}`) : null,
    trial.scores.length ? make("ul", { class: "judged" }, trial.scores.map(([name, value, passed, reason]) => make("li", { class: passed === false ? "bad" : passed ? "good" : "calm" },
      make("span", { "aria-hidden": "true" }, passed === false ? "✗" : passed ? "✓" : "–"), " ", make("b", {}, name), ` ${number(value)} `, make("span", { class: "quiet", dir: "auto" }, reason)))) : null,
    trial.note ? make("p", { class: "empty" }, trial.note) : null,
    trial.rows === null ? make("p", { class: "empty" }, "No trace was recorded.") : stepTable(trial),
    block("Answer", trial.output, true));
}

/** The aligned diff; each actual step with its time, and what went in and out on demand. */
function stepTable(trial) {
  if (!trial.rows.length) return make("p", { class: "empty" }, "The trace holds no steps, and none were expected.");
  const ends = trial.rows.map((row) => row[6] && row[6][0] !== null ? row[6][0] + (row[6][1] || 0) : 0);
  const total = Math.max(...ends) || 0;
  const compared = trial.rows.some((row) => row[1]);
  const body = make("tbody", {});
  for (const row of trial.rows) body.append(stepRow(row, total, compared));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Steps" }, make("table", { class: "steps" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, make("span", { class: "unseen" }, "Mark")), compared ? make("th", { scope: "col" }, "Expected") : null, make("th", { scope: "col" }, "Actual"),
      make("th", { scope: "col" }, total ? `Time, ${milliseconds(total)}` : "Time"))),
    body), trial.more ? make("p", { class: "quiet" }, `and ${count(trial.more)} more steps`) : null);
}

function stepRow([mark, expected, actual, depth, notes, failed, span], total, compared) {
  const [stated, ...stating] = expected.split("\n");
  const more = span && (span[2] !== null || span[3] !== null);
  const name = [failed ? make("span", { class: "bad" }, "✗ ") : null, stepName(actual)];
  const row = make("tr", { class: ROW_TONES[mark] || "bad" },
    make("td", { class: "mark" }, make("span", { "aria-hidden": "true" }, mark), make("span", { class: "unseen" }, LEGEND[mark] || mark)),
    compared ? make("td", { class: "expected" }, expected ? stepName(stated) : null, stating.length ? make("code", {}, stating.join("\n")) : null) : null,
    make("td", { class: compared ? "actual" : "actual plain", "--depth": Math.min(depth, 12) },
      !actual ? make("span", { class: "quiet" }, "did not happen") : more
        ? make("button", { type: "button", class: "open", "aria-expanded": "false", onclick: (event) => unfold(event.currentTarget, row, span, compared) }, name) : name,
      notes.map((note) => make("span", { class: "note", dir: "auto" }, note))),
    make("td", { class: "time" }, span ? timeBar(span, total) : null));
  return row;
}

function timeBar([start, took], total) {
  if (start === null || took === null) return make("span", { class: "quiet" }, UNKNOWN);
  return [make("span", { class: "track", "aria-hidden": "true" },
    make("span", { class: "lasted", "--start": total ? start / total : 0, "--took": total ? took / total : 0 })),
  make("span", { class: "quiet figure" }, milliseconds(took))];
}

function unfold(button, row, [, , given, output, cost], compared) {
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  if (open) { row.nextElementSibling.remove(); return; }
  row.after(make("tr", { class: "inside" }, make("td", { colspan: compared ? 4 : 3 },
    given === null ? null : [make("b", {}, "in"), make("pre", { dir: "auto", tabindex: "0" }, given)],
    output === null ? null : [make("b", {}, "out"), make("pre", { dir: "auto", tabindex: "0" }, output)],
    cost ? make("p", { class: "quiet" }, cost) : null)));
}
