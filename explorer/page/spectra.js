/** Spectra: draw a window over the ranks of any stored spectrum and watch the exponent of the power law move. */

import { brushX } from "d3-brush";
import { line as path } from "d3-shape";
import { powerlaw, unpack } from "../engine/index.js";
import { figure, frame } from "./chart.js";
import { button, choices, el, ink, outline, say, select, slider, table, textTwin, typed } from "./controls.js";
import { list, whole } from "./state.js";

const FLOOR = 1e-10; // of the largest eigenvalue: below lies rounding, and the axis ends
const ARITHMETIC = { double: "double precision", float32: "single precision, as in the authors' code", tf32: "TF32, as on GPUs of that time" };

// Where the sliders stop: every rank at first, then two hundred per factor of ten, so that each press of a key moves on.
const STOPS = [...new Set(Array.from({ length: 698 }, (_, i) => Math.round(10 ** (i / 200)))), 3072];

export const title = "Spectra";

export function fields({ results }) {
  const names = [...new Set(results.spectra.map((entry) => entry.model))];
  const usual = ["kh", "bp", "random", "pixels"].filter((name) => names.includes(name));
  return {
    models: { default: usual.length ? usual : names.slice(0, 3), read: list(names) },
    on: { default: "images", choices: ["images", "noise"] },
    latent: { default: "before", choices: ["before", "after"] },
    arithmetic: { default: "double", choices: Object.keys(ARITHMETIC) },
    first: { default: 11, read: whole(1, 3000) },
    last: { default: 500, read: whole(3, 3072) },
  };
}

/** A stored spectrum prepared for fits, or null; prepared once. */
const prepared = new WeakMap();
function spectrum(entry, key) {
  if (!entry?.[key]) return null;
  if (!prepared.has(entry[key])) prepared.set(entry[key], powerlaw.prepare(unpack(entry[key])));
  return prepared.get(entry[key]);
}

/** Ranks to draw: all of the first, then about a hundred per factor of ten. */
function shownRanks(end) {
  const ranks = [];
  for (let n = 1; n <= end; n = Math.max(n + 1, Math.round(n * 1.02))) ranks.push(n);
  if (ranks.at(-1) !== end) ranks.push(end);
  return ranks;
}

export function build({ results }, values, changed) {
  const { models } = results;
  const names = [...new Set(results.spectra.map((entry) => entry.model))];
  const of = (name) => results.spectra.filter((entry) => entry.model === name);
  const key = () => `${values.on}_${values.latent}`;
  const coded = () => `${values.on}_${values.arithmetic}`;
  const lines = () => values.models.flatMap((name) => of(name).map((entry, i) => ({ name, seed: entry.seed, faint: i > 0, of: spectrum(entry, key()), coded: i || values.arithmetic === "double" ? null : spectrum(entry, coded()) })));
  const longest = () => Math.max(3, ...lines().map((one) => one.of?.logs.length ?? 0));

  let scales;
  const main = figure("Eigenvalues against their rank on logarithmic axes, with the window and the fitted lines", draw, { ratio: 0.62 });
  const local = figure("Local exponent against rank", drawLocal, { ratio: 0.4, low: 200, high: 300 });
  const numbers = el("div", { "aria-live": "polite" });
  const note = el("p", { class: "ex-note" });

  function draw(svg, sizes) {
    const all = lines();
    const lowest = Math.max(FLOOR, Math.min(...all.filter((one) => one.of).map((one) => Math.exp(one.of.logs.at(-1) - one.of.logs[0]))));
    scales = frame(svg, sizes, { domain: [1, longest()], log: true, label: "rank n" }, { domain: [lowest, 1.5], log: true, label: "eigenvalue λₙ / λ₁" });
    const { x, y, plot } = scales;
    const trace = (one) => path().x((n) => x(n)).y((n) => y(Math.max(lowest / 10, Math.exp(one.logs[n - 1] - one.logs[0]))))(shownRanks(one.logs.length));
    plot.selectAll("*").remove();
    plot.append("g").attr("class", "ex-brush");
    for (const one of all) {
      const colour = ink(models[one.name].colour);
      if (one.coded) plot.append("path").attr("class", "ex-line ex-dashed").style("stroke", colour).attr("d", trace(one.coded));
      if (one.of) plot.append("path").attr("class", `ex-line ${one.faint ? "ex-faint" : ""}`).style("stroke", colour).attr("d", trace(one.of));
      if (one.of && !one.faint) {
        // Markers tell the models apart without their colours.
        for (const n of [2, 6, 30, 150, 700].filter((rank) => rank <= one.of.logs.length)) {
          plot.append("path").attr("class", "ex-marker").attr("d", outline(models[one.name].marker)).style("fill", colour)
            .attr("transform", `translate(${x(n)},${y(Math.max(lowest / 10, Math.exp(one.of.logs[n - 1] - one.of.logs[0])))})`);
        }
      }
    }
    plot.append("g").attr("class", "ex-fits");
    const [top, bottom] = [scales.margin.top, sizes.height - scales.margin.bottom];
    const brush = brushX().extent([[x.range()[0], top], [x.range()[1], bottom]]).on("brush end", (event) => {
      if (!event.sourceEvent || !event.selection) return;
      const [a, b] = event.selection.map((place) => Math.round(x.invert(place)));
      move(a, b, false);
    });
    main.brush = brush;
    plot.select(".ex-brush").call(brush);
    drawWindow(true);
    const below = all.filter((one) => one.of && !one.faint).map((one) => [one, one.of.logs.filter((value) => value - one.of.logs[0] < Math.log(lowest) - 1e-9).length]).filter(([, count]) => count);
    note.textContent = below.length ? `Below the axis, a ten-billionth of the largest eigenvalue: ${below.map(([one, count]) => `${count} eigenvalues of ${models[one.name].title}`).join(", ")}. They can still be fitted.` : "";
  }

  /** What follows the window: fitted lines, shade, numbers. This runs at every move of a slider. */
  function drawWindow(shade) {
    if (!scales) return;
    const { x, y, plot } = scales;
    const rows = [];
    const group = plot.select(".ex-fits");
    const fits = [];
    const pixels = spectrum(of("pixels")[0], `${values.on}_before`);
    const pixel = pixels && powerlaw.fit(pixels, values.first, values.last);
    for (const name of values.models) {
      const mine = lines().filter((one) => one.name === name);
      const found = mine.map((one) => one.of && powerlaw.fit(one.of, values.first, values.last)).filter(Boolean);
      const code = mine[0].coded && powerlaw.fit(mine[0].coded, values.first, values.last);
      const fitted = found[0];
      if (fitted) fits.push({ name, ...fitted, top: mine[0].of.logs[0] });
      const alphas = found.map((one) => one.alpha);
      rows.push({
        name, fitted, code, alphas,
        end: fitted ? powerlaw.reach(mine[0].of, fitted) : null,
        cut: fitted && fitted.last < values.last ? fitted.last : null,
      });
    }
    group.selectAll("path").data(fits).join("path").attr("class", "ex-fit").attr("d", (one) => {
      const height = (n) => y(Math.max(1e-30, Math.exp(powerlaw.line(one, n) - one.top)));
      return `M${x(one.first)},${height(one.first)}L${x(one.last)},${height(one.last)}`;
    });
    if (shade) plot.select(".ex-brush").call(main.brush.move, [x(values.first), x(Math.min(values.last, longest()))]);
    numbers.replaceChildren(table(
      `Exponents over ranks ${values.first} to ${values.last}`,
      ["model", "exponent α", "over seeds", ...(values.arithmetic === "double" ? [] : ["α, authors' arithmetic"]), "line ends at rank", "twice the pixels'"],
      rows.map(({ name, fitted, code, alphas, end, cut }) => [
        models[name].title,
        el("span", { "data-alpha": name }, fitted ? `${say(fitted.alpha, 4)}${cut ? ` (to rank ${cut})` : ""}` : "–"),
        alphas.length > 1 ? `${say(Math.min(...alphas))} to ${say(Math.max(...alphas))} (${alphas.length})` : "one seed",
        ...(values.arithmetic === "double" ? [] : [code ? say(code.alpha, 4) : "–"]),
        end === null ? "–" : String(end),
        pixel && !["pixels", "random"].includes(name) ? say(2 * pixel.alpha, 4) : "–",
      ]),
    ));
    localShade();
    twin.refresh();
  }

  let localScales;
  function drawLocal(svg, sizes) {
    const curves = lines().filter((one) => one.of && !one.faint).map((one) => ({ ...one, points: powerlaw.localExponent(one.of) }));
    const top = Math.min(8, Math.max(1, ...curves.flatMap((one) => one.points.filter(([n]) => n > 4 && n < 0.6 * one.of.logs.length).map(([, a]) => a))) * 1.1);
    localScales = frame(svg, sizes, { domain: [1, longest()], log: true, label: "rank n" }, { domain: [0, top], label: "local exponent" });
    const { x, y, plot } = localScales;
    plot.selectAll("*").remove();
    plot.append("rect").attr("class", "ex-shade");
    for (const one of curves) {
      const kept = one.points.filter(([n], i) => i < 40 || i % Math.ceil(n / 60) === 0);
      plot.append("path").attr("class", "ex-line").style("stroke", ink(models[one.name].colour)).attr("d", path().x(([n]) => x(n)).y(([, a]) => y(a))(kept));
    }
    localShade();
  }
  function localShade() {
    if (!localScales) return;
    const { x, y, plot } = localScales;
    const [a, b] = [x(values.first), x(Math.max(values.first, Math.min(values.last, longest())))];
    plot.select(".ex-shade").attr("x", a).attr("width", b - a).attr("y", y.range()[1]).attr("height", y.range()[0] - y.range()[1]);
  }

  /** Move the window; the ends stay three ranks apart. */
  function move(first, last, shade = true) {
    const most = longest();
    values.first = Math.min(Math.max(1, first), most - 2);
    values.last = Math.min(Math.max(values.first + 2, last), 3072);
    firstBox.set(values.first);
    lastBox.set(values.last);
    firstSlider.set(place(values.first), String(values.first));
    lastSlider.set(place(values.last), String(values.last));
    drawWindow(shade);
    changed();
  }
  const place = (n) => STOPS.findIndex((stop) => stop >= n);
  const rank = (position) => STOPS[position];
  const ranks = { min: 0, max: STOPS.length - 1 };
  const firstBox = typed("First rank", { min: 1, max: 3000, value: values.first }, (n) => move(n, values.last));
  const lastBox = typed("Last rank", { min: 3, max: 3072, value: values.last }, (n) => move(values.first, n));
  const firstSlider = slider("Move the first rank", { ...ranks, value: place(values.first), say: (p) => String(rank(p)) }, (p) => move(rank(p), values.last));
  const lastSlider = slider("Move the last rank", { ...ranks, value: place(values.last), say: (p) => String(rank(p)) }, (p) => move(values.first, rank(p)));
  firstSlider.set(place(values.first), String(values.first));
  lastSlider.set(place(values.last), String(values.last));

  const renew = () => {
    main.redraw();
    local.redraw();
    changed();
  };
  const twin = textTwin("The curves as a table", () => {
    const shown = [1, 3, 10, 30, 100, 300, 500, 1000, 1500, 2000];
    return table("λₙ / λ₁ at some ranks", ["model, seed", ...shown.map(String)],
      lines().filter((one) => one.of).map((one) => [`${models[one.name].title}, ${one.seed}`, ...shown.map((n) => (n <= one.of.logs.length ? say(Math.exp(one.of.logs[n - 1] - one.of.logs[0])) : "–"))]));
  });
  const node = el("div", {},
    el("p", {}, "How fast do the variances of a layer fall? Drag over the ranks in the drawing, or use the sliders: the straight line is the power law fitted to that window, and its steepness is the exponent α. A claim about an exponent is a claim about a window, too."),
    el("div", { class: "ex-controls" },
      choices("Models", names.map((name) => [name, models[name].title, models[name].colour, models[name].marker]), values.models, (chosen) => { values.models = chosen; renew(); }),
      select("Images seen", [["images", "test images of CIFAR-10"], ["noise", "Gaussian noise"]], values.on, (v) => { values.on = v; renew(); }),
      select("Latent", [["before", "before the activation (as in the paper)"], ["after", "after the activation"]], values.latent, (v) => { values.latent = v; renew(); }),
      select("Beside double precision, dashed", [["double", "nothing"], ...Object.entries(ARITHMETIC).slice(1)], values.arithmetic, (v) => { values.arithmetic = v; renew(); }),
    ),
    el("div", { class: "ex-controls" }, firstSlider, lastSlider, firstBox, lastBox,
      el("div", { class: "ex-buttons" }, button("11 to 500, the paper's for images", () => move(11, 500)), button("11 to 100, the paper's for noise", () => move(11, 100)))),
    main.node, note, numbers,
    el("p", { class: "ex-note" }, "One line per seed, the first one strong. The line “ends” at the first rank above the middle of the window where the spectrum is off by a factor of two. A layer whose weights vary as the images themselves do has twice the pixels' exponent. Curves in the authors' arithmetic are of latents before the activation, at the first seed; they end where rounding makes an eigenvalue negative."),
    el("h3", {}, "Local exponent"),
    el("p", { class: "ex-note" }, "The exponent of a short window around each rank, from two thirds of it to one and a half of it. A power law would be a level line."),
    local.node, twin,
  );
  return { node };
}
