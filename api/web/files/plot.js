// Two small plots of the last hour: bars, and lines on a logarithmic scale.

import { element } from "./author.js";
import { count, minute } from "./format.js";
import { ceiling } from "./stats.js";

// frame clears the svg, measures it and returns its inner box.
function frame(svg) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const width = svg.clientWidth || 480, height = svg.clientHeight || 120;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  return { left: rem * 3.4, right: width - rem * 0.5, top: rem * 0.6, bottom: height - rem * 1.4, rem };
}

function text(svg, x, y, words, anchor) {
  const t = element("text", { x, y, "text-anchor": anchor, class: "tick" });
  t.textContent = words;
  svg.append(t);
}

function level(svg, box, y, words) {
  svg.append(element("line", { x1: box.left, x2: box.right, y1: y, y2: y, class: "grid" }));
  text(svg, box.left - box.rem * 0.4, y + box.rem * 0.27, words, "end");
}

function times(svg, box, series) {
  const y = box.bottom + box.rem * 1.1;
  text(svg, box.left, y, minute(series[0].at), "start");
  text(svg, (box.left + box.right) / 2, y, minute(series[series.length / 2].at), "middle");
  text(svg, box.right, y, "now", "end");
}

// bars draws the count of each minute; the one under way is paler.
export function bars(svg, series) {
  const box = frame(svg);
  const peak = Math.max(...series.map((m) => m.count));
  const top = ceiling(Math.max(peak, 4));
  const height = box.bottom - box.top;
  for (const part of [0, 0.5, 1]) level(svg, box, box.bottom - part * height, count(top * part));
  const step = (box.right - box.left) / series.length;
  let path = "", last = "";
  series.forEach((m, i) => {
    if (m.count === 0) return;
    const h = Math.max(1.5, (m.count / top) * height);
    const bar = `M${(box.left + i * step + step * 0.12).toFixed(1)} ${box.bottom}v${(-h).toFixed(1)}h${(step * 0.76).toFixed(1)}v${h.toFixed(1)}z`;
    if (i === series.length - 1) last = bar;
    else path += bar;
  });
  svg.append(element("path", { d: path, class: "bars" }), element("path", { d: last, class: "bars now" }));
  times(svg, box, series);
  const sum = series.reduce((n, m) => n + m.count, 0);
  svg.setAttribute("aria-label", `Pings a minute over the last hour: ${count(sum)} in all, ${count(peak)} in the busiest minute.`);
}

// decades of milliseconds, as they are read.
const ticks = [[0.1, "0.1 ms"], [1, "1 ms"], [10, "10 ms"], [100, "0.1 s"], [1000, "1 s"], [10_000, "10 s"], [60_000, "1 min"],
  [600_000, "10 min"], [3_600_000, "1 h"], [36_000_000, "10 h"], [360_000_000, "100 h"]];

// lines draws p50 and p99 of the delay.
export function lines(svg, series, write) {
  const box = frame(svg);
  const heard = series.filter((m) => !Number.isNaN(m.p99));
  const low = heard.length ? Math.min(...heard.map((m) => m.p50)) : 1;
  const high = heard.length ? Math.max(...heard.map((m) => m.p99)) : 100;
  let bottom = ticks.findLastIndex(([ms]) => ms <= low);
  let top = ticks.findIndex(([ms]) => ms >= high);
  if (bottom < 0) bottom = 0;
  if (top < 0) top = ticks.length - 1;
  top = Math.max(top, Math.min(bottom + 2, ticks.length - 1));
  const from = Math.log(ticks[bottom][0]), to = Math.log(ticks[top][0]);
  const y = (ms) => {
    const part = (Math.log(Math.max(ms, 1e-3)) - from) / (to - from || 1);
    return box.bottom - Math.min(1, Math.max(0, part)) * (box.bottom - box.top);
  };
  const every = Math.ceil((top - bottom) / 4);
  for (let i = bottom; i <= top; i += every) level(svg, box, y(ticks[i][0]), ticks[i][1]);
  const step = (box.right - box.left) / series.length;
  for (const name of ["p99", "p50"]) {
    const known = (i) => series[i] !== undefined && !Number.isNaN(series[i][name]);
    let path = "";
    series.forEach((m, i) => {
      if (!known(i)) return;
      const px = (box.left + (i + 0.5) * step).toFixed(1), py = y(m[name]).toFixed(1);
      path += `${known(i - 1) ? "L" : "M"}${px} ${py}`;
      // A minute alone would be a line without length.
      if (!known(i - 1) && !known(i + 1)) svg.append(element("circle", { cx: px, cy: py, r: box.rem * 0.2, class: `point ${name}` }));
    });
    svg.append(element("path", { d: path, class: `line ${name}` }));
  }
  times(svg, box, series);
  const latest = heard.at(-1);
  svg.setAttribute("aria-label", latest
    ? `Delay of pings from other nodes: at ${minute(latest.at)} half arrived within ${write(latest.p50)}, 99 of 100 within ${write(latest.p99)}.`
    : "Delay of pings from other nodes: none was heard in the last hour.");
}
