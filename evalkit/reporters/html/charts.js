// Pictures, drawn as SVG. Each says in words what it shows; colours are never alone.

function picture(width, height, label, ...parts) {
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" }, ...parts);
}

function words(x, y, text, anchor, kind) {
  return draw("text", { x, y, "text-anchor": anchor || "start", class: kind || "axis" }, text);
}

/** A difference with its interval on a scale from -reach to +reach. */
function forest(at, reach) {
  const [value, low, high] = at;
  if (value === null || low === null) return null;
  const x = (one) => 80 + (one / reach) * 74;
  const tone = high < 0 ? "bad" : low > 0 ? "good" : "calm";
  return picture(160, 22, `difference ${value.toFixed(2)}, 95 % interval ${low.toFixed(2)} to ${high.toFixed(2)}`,
    draw("line", { x1: 80, x2: 80, y1: 1, y2: 21, class: "zero" }),
    draw("line", { x1: x(low), x2: x(high), y1: 11, y2: 11, class: `whisker ${tone}` }),
    draw("circle", { cx: x(value), cy: 11, r: 4.5, class: `dot ${tone}` }));
}

/** The shares of trials per bin: the baseline as an outline, the candidate filled. */
function histogram(data, say, what) {
  const [before, now] = data.runs;
  const width = 320, height = 132, floor = 104, top = 12;
  const most = Math.max(...now, ...(before || [0])) || 1;
  const bin = width / now.length;
  const y = (share) => floor - (share / most) * (floor - top);
  const bars = now.map((share, at) => share && draw("rect", {
    x: at * bin + 1, y: y(share), width: Math.max(1, bin - 2), height: floor - y(share), class: "now" }));
  const steps = before && before.map((share, at) => `${at ? "L" : "M"}${at * bin} ${y(share)}H${(at + 1) * bin}`).join("");
  return picture(width, height, `${what}: distribution over trials from ${say(data.low)} to ${say(data.high)} and above`,
    bars.filter(Boolean),
    steps && draw("path", { d: steps, class: "was line" }),
    draw("line", { x1: 0, x2: width, y1: floor, y2: floor, class: "ground" }),
    words(0, floor + 18, say(data.low)), words(width, floor + 18, `${say(data.high)} +`, "end"));
}

/** pass^k: the chance that k trials of a case all pass. */
function passCurve(before, now) {
  const width = 320, height = 150, left = 30, floor = 116, top = 10;
  const longest = Math.max(before.length, now.length);
  const x = (k) => longest < 2 ? (left + width) / 2 : left + 10 + ((width - left - 24) * k) / (longest - 1);
  const y = (share) => floor - share * (floor - top);
  const curve = (values, kind, shape) => values.length ? [
    draw("path", { d: values.map((v, k) => `${k ? "L" : "M"}${x(k)} ${y(v)}`).join(""), class: `${kind} line` }),
    values.map((v, k) => shape === "square"
      ? draw("rect", { x: x(k) - 4, y: y(v) - 4, width: 8, height: 8, class: `${kind} point` })
      : draw("circle", { cx: x(k), cy: y(v), r: 4.5, class: `${kind} point` }))] : [];
  const told = now.map((v, k) => `pass^${k + 1} ${number(v)}`).join(", ");
  return picture(width, height, `candidate: ${told}`,
    [0, 0.5, 1].map((share) => [
      draw("line", { x1: left, x2: width, y1: y(share), y2: y(share), class: "grid" }),
      words(left - 6, y(share) + 4, share.toString(), "end")]),
    curve(before, "was", "square"), curve(now, "now", "circle"),
    Array.from({ length: longest }, (_, k) => words(x(k), floor + 20, `k = ${k + 1}`, "middle")));
}

/** A route's means over runs with intervals; `changes` lists where they moved. */
function historyChart(found) {
  const points = found.points;
  const width = 640, height = 190, left = 34, floor = 150, top = 12;
  const x = (at) => points.length < 2 ? width / 2 : left + 16 + ((width - left - 40) * at) / (points.length - 1);
  const y = (share) => floor - share * (floor - top);
  const place = new Map(points.map((point, at) => [point.run, at]));
  const bands = found.changes.map((change) => {
    const from = x(Math.max(0, place.get(change.earliest) - 1)), to = x(place.get(change.latest));
    return draw("rect", { x: from, y: top, width: Math.max(2, to - from), height: floor - top, class: "band" });
  });
  const every = Math.ceil(points.length / 8);
  return picture(width, height, `${found.scorer} over ${points.length} runs`,
    bands,
    [0, 0.5, 1].map((share) => [
      draw("line", { x1: left, x2: width, y1: y(share), y2: y(share), class: "grid" }),
      words(left - 6, y(share) + 4, share.toString(), "end")]),
    draw("path", { d: points.map((p, at) => `${at ? "L" : "M"}${x(at)} ${y(p.mean)}`).join(""), class: "now line" }),
    points.map((p, at) => draw("g", {}, draw("title", {}, `${p.label} ${p.run}: ${number(p.mean)} [${number(p.low)}, ${number(p.high)}]`),
      draw("line", { x1: x(at), x2: x(at), y1: y(p.low), y2: y(p.high), class: "whisker calm" }),
      draw("circle", { cx: x(at), cy: y(p.mean), r: 4.5, class: "now point" }),
      at % every === 0 || at === points.length - 1
        ? words(x(at), floor + 18, p.label.length > 14 ? `${p.label.slice(0, 13)}…` : p.label, at === points.length - 1 && points.length > 1 ? "end" : "middle") : null)));
}
