/** The trace of a search for the smallest change: which strengths were tried, in which order, and what came of it. */

import { figure, frame } from "./chart.js";
import { el, ink, say, table, textTwin } from "./controls.js";

/** {node, clear, add(net, result), draw} */
export function trace(nets) {
  let found = [];
  const drawing = figure("Strengths tried by network, in order; filled where the decision changed", draw, { ratio: 0.35, low: 90 + 26 * nets.length, high: 90 + 26 * nets.length });
  const twin = textTwin("The search as a table", () => table("Strengths in the order tried; ✗ where the decision changed", ["network", "strengths"],
    found.map(({ net, result }) => [net.title, result.trace.map((one) => `${say(one.eps, 2)} ${one.fails ? "✗" : "✓"}`).join(", ")])));
  const node = el("div", { class: "ex-trace", hidden: true },
    el("h3", {}, "How it was found"),
    el("p", { class: "ex-note" }, "From a first guess outwards until one strength fails and a smaller one does not, then their middle, again and again. Numbers give the order; a filled mark changed the decision. For noise all strengths are tried on one draw, and only the first that fails is shown."),
    drawing.node, twin);
  function draw(svg, sizes) {
    const all = found.flatMap(({ result }) => result.trace.map((one) => one.eps));
    const domain = all.length ? [Math.min(...all) / 1.5, Math.max(...all) * 1.5] : [1e-4, 1];
    const { x, y, plot } = frame(svg, sizes, { domain, log: true, label: "strength ε" }, { domain: [nets.length - 0.4, -0.6], label: "", ticks: 0 }, { left: 16 });
    plot.selectAll("*").remove();
    found.forEach(({ net, result }, row) => {
      const colour = ink(net.colour);
      plot.append("text").attr("class", "ex-row").attr("x", 18).attr("y", y(row) - 7).text(net.title);
      result.trace.forEach((one, order) => {
        const at = `translate(${x(one.eps)},${y(row) + 5})`;
        plot.append("circle").attr("transform", at).attr("r", 6).style("stroke", colour).style("fill", one.fails ? colour : "var(--ex-paper)");
        plot.append("text").attr("class", `ex-order ${one.fails ? "ex-on" : ""}`).attr("transform", at).attr("y", 3).attr("text-anchor", "middle").text(order + 1);
      });
    });
  }
  return {
    node,
    clear() { found = []; node.hidden = true; },
    add(net, result) { found.push({ net, result }); },
    draw() { node.hidden = false; drawing.redraw(); twin.refresh(); },
  };
}
