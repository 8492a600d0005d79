/** Axes on D3: a drawing is as wide as its place, its text has the page's size, and it is drawn anew when that changes. */

import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear, scaleLog } from "d3-scale";
import { select } from "d3-selection";
import { say } from "./controls.js";

/**
 * A drawing in a <figure>: {node, svg, draw}. draw(sizes) is called with {width, height} now and at every new width.
 * label: what is drawn, for who cannot see it; ratio: height over width, within low..high pixels.
 */
export function figure(label, draw, { ratio = 0.5, low = 240, high = 420, caption = null } = {}) {
  const node = document.createElement("figure");
  node.className = "ex-figure";
  const svg = select(node).append("svg").attr("role", "img").attr("aria-label", label);
  if (caption) node.append(caption);
  let width = 0;
  const redraw = () => {
    if (!width) return;
    const height = Math.round(Math.min(high, Math.max(low, ratio * width)));
    svg.attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`);
    draw(svg, { width, height });
  };
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now && now !== width) {
      width = now;
      redraw();
    }
  }).observe(node);
  return { node, svg, redraw };
}

/** Scales over a frame with room for axes; each axis {domain, log, label, ticks, format}. */
export function frame(svg, { width, height }, horizontal, vertical, room = {}) {
  const margin = { top: 10, right: 12, bottom: 44, left: 58, ...room };
  const scale = (axis, range) => (axis.log ? scaleLog() : scaleLinear()).domain(axis.domain).range(range);
  const x = scale(horizontal, [margin.left, width - margin.right]);
  const y = scale(vertical, [height - margin.bottom, margin.top]);
  let axes = svg.select("g.ex-axes");
  if (axes.empty()) axes = svg.append("g").attr("class", "ex-axes").attr("aria-hidden", "true");
  axes.selectAll("*").remove();
  const ticks = (axis, made, count) => {
    if (axis.log) {
      const [low, high] = axis.domain.map(Math.log10);
      const step = Math.max(1, Math.ceil((high - low) / count));
      const decades = [];
      for (let p = Math.ceil(low); p <= high + 1e-9; p += step) decades.push(10 ** p);
      made.tickValues(high - low < 1.2 ? undefined : decades);
      if (high - low < 1.2) made.ticks(4);
    } else {
      made.ticks(axis.ticks ?? count);
    }
    return made.tickFormat(axis.format ?? ((v) => say(v, 2))).tickSizeOuter(0);
  };
  axes.append("g").attr("transform", `translate(0,${height - margin.bottom})`)
    .call(ticks(horizontal, axisBottom(x).tickSizeInner(-(height - margin.top - margin.bottom)), Math.max(2, Math.floor(width / 90))));
  axes.append("g").attr("transform", `translate(${margin.left},0)`)
    .call(ticks(vertical, axisLeft(y).tickSizeInner(-(width - margin.left - margin.right)), Math.max(2, Math.floor(height / 45))));
  axes.append("text").attr("x", (margin.left + width - margin.right) / 2).attr("y", height - 6).attr("text-anchor", "middle").text(horizontal.label);
  axes.append("text").attr("transform", `translate(12,${(margin.top + height - margin.bottom) / 2}) rotate(-90)`)
    .attr("text-anchor", "middle").text(vertical.label);
  let clip = svg.select("clipPath rect");
  const id = svg.attr("data-clip") ?? `ex-clip-${Math.random().toString(36).slice(2)}`;
  if (clip.empty()) {
    svg.attr("data-clip", id);
    clip = svg.append("clipPath").attr("id", id).append("rect");
  }
  clip.attr("x", margin.left).attr("y", margin.top)
    .attr("width", Math.max(0, width - margin.left - margin.right)).attr("height", Math.max(0, height - margin.top - margin.bottom));
  let plot = svg.select("g.ex-plot");
  if (plot.empty()) plot = svg.append("g").attr("class", "ex-plot").attr("clip-path", `url(#${id})`);
  return { x, y, plot, margin };
}
