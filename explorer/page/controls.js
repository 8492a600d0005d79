/** Real controls with labels, and tables: all that a view puts around its drawings. */

let made = 0;

/** An element with attributes (`class`, `aria-...`), listeners (`onclick`) and children. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

const identifier = (name) => `ex-${name}-${++made}`;

/** A labelled <select>; options: [[value, text], ...]. */
export function select(label, options, value, change) {
  const id = identifier("select");
  const box = el("select", { id, onchange: () => change(box.value) }, options.map(([v, t]) => el("option", { value: v }, t)));
  box.value = value;
  return el("div", { class: "ex-field" }, el("label", { for: id }, label), box);
}

/** A labelled slider with its value in words beside it. field.set(value, words) moves it, words where it stands between. */
export function slider(label, { min, max, step = 1, value, say = String }, input) {
  const id = identifier("range");
  const shown = el("output", { for: id }, say(value));
  const box = el("input", {
    type: "range", id, min, max, step, value, "aria-valuetext": say(value),
    oninput: () => { write(Number(box.value)); input(Number(box.value)); },
  });
  const write = (v, words = say(v)) => { shown.textContent = words; box.setAttribute("aria-valuetext", words); };
  const field = el("div", { class: "ex-field ex-slider" }, el("label", { for: id }, label), box, shown);
  field.set = (v, words) => { box.value = v; write(v, words); };
  return field;
}

/** A labelled number to type; change is called with whole numbers within the bounds only. */
export function typed(label, { min, max, value }, change) {
  const id = identifier("number");
  const box = el("input", {
    type: "number", id, min, max, step: 1, value, inputmode: "numeric",
    onchange: () => {
      const given = Math.round(Number(box.value));
      const kept = Math.min(max, Math.max(min, Number.isFinite(given) && box.value !== "" ? given : value));
      box.value = kept;
      change(kept);
    },
  });
  const field = el("div", { class: "ex-field" }, el("label", { for: id }, label), box);
  field.set = (v) => { box.value = v; };
  return field;
}

/** A group of checkboxes; options: [[value, text, colour, marker], ...]; change gets the checked values in order. */
export function choices(legend, options, chosen, change) {
  const boxes = options.map(([value, text, colour, marker]) => {
    const box = el("input", { type: "checkbox", value, onchange: () => change(boxes.filter((b) => b.input.checked).map((b) => b.input.value)) });
    box.checked = chosen.includes(value);
    return { input: box, label: el("label", { class: "ex-choice" }, box, colour ? swatch(colour, marker) : null, text) };
  });
  return el("fieldset", { class: "ex-choices" }, el("legend", {}, legend), boxes.map((b) => b.label));
}

/** A group of radio buttons; options: [[value, text or node], ...]. */
export function radios(legend, options, value, change, extra = "") {
  const name = identifier("radio");
  return el(
    "fieldset", { class: `ex-choices ${extra}` }, el("legend", {}, legend),
    options.map(([v, text]) => {
      const box = el("input", { type: "radio", name, value: v, onchange: () => change(v) });
      box.checked = v === value;
      return el("label", { class: "ex-choice" }, box, text);
    }),
  );
}

export const button = (text, click, attributes = {}) => el("button", { type: "button", onclick: click, ...attributes }, text);

/** Numbers as the book prints them: so many significant digits, with a true minus sign. */
export function say(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === Infinity) return "never";
  const size = Math.abs(value);
  const power = Math.round(Math.log10(size));
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) {
    if (Math.abs(size / 10 ** power - 1) < 1e-9) return `${value < 0 ? "−" : ""}10${raised(String(power).replace("-", "−"))}`;
    const [digit, exponent] = value.toExponential(digits - 1).split("e");
    return `${digit.replace("-", "−")} × 10${raised(exponent.replace("+", "").replace("-", "−"))}`;
  }
  return Number(value.toPrecision(digits)).toString().replace("-", "−");
}

const raised = (text) => [...text].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["−0123456789".indexOf(c)]).join("");

/** A table; rows of text or nodes, the first cell of each row is its heading. */
export function table(caption, header, rows) {
  return el(
    "div", { class: "ex-scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { class: "ex-table" }, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, header.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, cell))))),
    ),
  );
}

/** A drawing's content as a table that opens on demand; fill is called when it is open and the content has changed. */
export function textTwin(summary, fill) {
  const body = el("div");
  const node = el("details", { class: "ex-twin", ontoggle: () => { if (node.open) body.replaceChildren(fill()); } }, el("summary", {}, summary), body);
  node.refresh = () => { if (node.open) body.replaceChildren(fill()); };
  return node;
}

/** A model's colour on the page in use; near-black follows the text. */
export function ink(colour) {
  const bright = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).reduce((a, b) => a + b, 0);
  return bright < 150 ? "var(--ex-ink)" : colour;
}

/** Outlines of the markers within -5..5, by matplotlib's letters. */
export const MARKERS = {
  o: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
  s: "M-3.6,-3.6H3.6V3.6H-3.6Z",
  "^": "M0,-4.6L4.4,3.6H-4.4Z",
  v: "M0,4.6L4.4,-3.6H-4.4Z",
  "<": "M-4.6,0L3.6,4.4V-4.4Z",
  ">": "M4.6,0L-3.6,4.4V-4.4Z",
  D: "M0,-5L5,0L0,5L-5,0Z",
  d: "M0,-5L3,0L0,5L-3,0Z",
  P: "M-1.6,-5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
  X: "M-4.6,-2.6L-2.6,-4.6L0,-2L2.6,-4.6L4.6,-2.6L2,0L4.6,2.6L2.6,4.6L0,2L-2.6,4.6L-4.6,2.6L-2,0Z",
  "*": "M0,-5.4L1.3,-1.7L5.1,-1.7L2.1,0.7L3.2,4.4L0,2.2L-3.2,4.4L-2.1,0.7L-5.1,-1.7L-1.3,-1.7Z",
  p: "M0,-5L4.8,-1.5L2.9,4L-2.9,4L-4.8,-1.5Z",
  ".": "M-2.4,0a2.4,2.4 0 1,0 4.8,0a2.4,2.4 0 1,0 -4.8,0Z",
  8: "M-2,-4.8H2L4.8,-2V2L2,4.8H-2L-4.8,2V-2Z",
  "+": "M-0.8,-5H0.8V-0.8H5V0.8H0.8V5H-0.8V0.8H-5V-0.8H-0.8Z",
  1: "M-0.8,0.4L-4.6,-2.6L-3.6,-3.9L0,-1L3.6,-3.9L4.6,-2.6L0.8,0.4V5H-0.8Z",
  2: "M-0.8,-0.4L-4.6,2.6L-3.6,3.9L0,1L3.6,3.9L4.6,2.6L0.8,-0.4V-5H-0.8Z",
  3: "M0.4,-0.8L-2.6,-4.6L-3.9,-3.6L-1,0L-3.9,3.6L-2.6,4.6L0.4,0.8H5V-0.8Z",
  4: "M-0.4,-0.8L2.6,-4.6L3.9,-3.6L1,0L3.9,3.6L2.6,4.6L-0.4,0.8H-5V-0.8Z",
  h: "M0,-5L4.3,-2.5V2.5L0,5L-4.3,2.5V-2.5Z",
};
export const outline = (marker) => MARKERS[marker] ?? MARKERS.o;

/** A marker in a model's colour, for labels. */
export function swatch(colour, marker) {
  const span = el("span", { class: "ex-swatch", "aria-hidden": "true" });
  span.innerHTML = `<svg width="12" height="12" viewBox="-6 -6 12 12"><path d="${outline(marker)}" style="fill:${ink(colour)}"/></svg>`;
  return span;
}
