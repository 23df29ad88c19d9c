// Elements and text. Data is only ever set as text: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";
const UNKNOWN = "–";

/** An element: attributes by name, `on` handlers as functions, children as nodes or text. */
function make(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** A mean or share with two digits, ties to even as on the command line. */
function number(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const eighths = value * 8;
  if (Number.isInteger(eighths) && eighths % 2 !== 0) {
    const hundredths = Math.floor(value * 100);
    return ((hundredths % 2 === 0 ? hundredths : hundredths + 1) / 100).toFixed(2);
  }
  return value.toFixed(2);
}

function count(value) {
  return value.toLocaleString("en-US");
}

function plural(many, noun) {
  return `${count(many)} ${noun}${many === 1 ? "" : "s"}`;
}

function seconds(value) {
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  return value < 99.95 ? `${value.toFixed(1)} s` : `${Math.round(value / 60)} min`;
}

function milliseconds(value) {
  return value < 1 ? `${value.toFixed(2)} ms` : seconds(value / 1000);
}

const MARKS = {
  broken: "✗", regressed: "✗", missing: "✗", unmeasurable: "!", inconclusive: "?", new: "+",
  improved: "▲", ok: "✓",
  worse: "▼", lost: "!", failing: "✗", changed: "+", better: "▲", passing: "✓",
};
const TONES = {
  broken: "bad", regressed: "bad", missing: "bad", worse: "bad", failing: "warn",
  unmeasurable: "warn", inconclusive: "warn", lost: "warn", new: "calm", changed: "calm",
  improved: "good", better: "good", ok: "good", passing: "good",
};

/** A verdict or standing: never by colour alone. */
function chip(word, title) {
  if (!word) return make("span", { class: "chip calm" }, "not compared");
  return make("span", { class: `chip ${TONES[word] || "calm"}`, title },
    make("span", { "aria-hidden": "true" }, MARKS[word] || "·"), ` ${word}`);
}

/** `kind name` of a step with the kind set apart. */
function stepName(label) {
  return label.split(" or ").map((part, at) => {
    const space = part.indexOf(" ");
    const named = space < 0 ? [part] : [make("span", { class: "kind" }, part.slice(0, space)), part.slice(space)];
    return [at ? " or " : null, ...named];
  });
}

function heading(level, text, id) {
  return make(`h${level}`, { id, tabindex: id ? "-1" : null }, text);
}

function linkTo(parameters, ...children) {
  return make("a", { href: `#${new URLSearchParams(parameters)}` }, ...children);
}

function say(text) {
  document.getElementById("status").textContent = text;
}

/** The data of an island, unpacked if it is. */
async function readIsland(name) {
  const element = document.getElementById(name);
  const text = element.textContent;
  if (element.dataset.packed !== "gzip") return JSON.parse(text);
  const packed = atob(text);
  const bytes = new Uint8Array(packed.length);
  for (let at = 0; at < packed.length; at += 1) bytes[at] = packed.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}
