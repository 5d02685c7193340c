// Plots over time, which zoom by dragging, by buttons and by keys.

import { h } from "./dom.js";

const HEIGHT = 190;
// As wide as the longest label of a time, so that two do not touch.
const TIME_LABEL_PIXELS = 80;
const dark = matchMedia("(prefers-color-scheme: dark)");

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * A plot.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {number[]} options.times Seconds since 1970-01-01 UTC.
 * @param {Array<{label: string, color: string, values: Array<?number>}>} options.series `color` is the name of a
 *   custom property of the style sheet.
 * @param {function(number): string} options.unit Writes a value with its unit.
 * @param {Array<{from: number, to: number}>} [options.bands] Spans of time to mark, in seconds.
 * @param {string} [options.together] Plots with the same key show the same span of time.
 * @param {number} [options.span] Seconds that are shown at least, so that few points are not stretched.
 * @param {string} options.summary What the plot says, in words.
 * @param {AbortSignal} options.signal Ends it.
 * @returns {{element: HTMLElement, update: function(number[], Array<Array<?number>>), describe: function(string)}}
 */
export function plot({ title, times, series, unit, bands = [], together, span = 0, summary, signal }) {
  const canvas = h("div", { class: "canvas", role: "img", "aria-label": `${title}: ${summary}` });
  let data = [times, ...series.map((one) => one.values)];
  let drawn = null;

  const range = () => [data[0][0] ?? 0, data[0].at(-1) ?? 1];
  const zoom = (change) => {
    const [first, last] = range();
    const { min, max } = drawn.scales.x;
    const [from, to] = change(min ?? first, max ?? last);
    const least = (last - first) / 1000;
    if (to - from >= least) {
      drawn.setScale("x", { min: Math.max(first, from), max: Math.min(last, to) });
    }
  };
  const button = (label, text, change) =>
    h(
      "button",
      {
        type: "button",
        class: "quiet small",
        "aria-label": `${title}: ${label}`,
        title: label,
        onclick: () => zoom(change),
      },
      text,
    );

  const draw = () => {
    drawn?.destroy();
    drawn = new uPlot(options({ series, unit, bands, together, span, width: canvas.clientWidth }), data, canvas);
  };
  const observer = new ResizeObserver(() => {
    if (canvas.clientWidth === 0) {
      return;
    }
    if (drawn === null) {
      draw();
    } else {
      drawn.setSize({ width: canvas.clientWidth, height: HEIGHT });
    }
  });
  observer.observe(canvas);
  dark.addEventListener("change", draw, { signal });
  signal.addEventListener("abort", () => {
    observer.disconnect();
    drawn?.destroy();
  });

  const element = h(
    "figure",
    { class: "plot" },
    h(
      "figcaption",
      { class: "row" },
      h("span", { class: "strong grow" }, title),
      h(
        "span",
        { class: "row tight" },
        button("zoom in", "+", (from, to) => [from + (to - from) / 4, to - (to - from) / 4]),
        button("zoom out", "−", (from, to) => [from - (to - from) / 2, to + (to - from) / 2]),
        button("earlier", "←", (from, to) => shifted(range(), from, to, -1)),
        button("later", "→", (from, to) => shifted(range(), from, to, 1)),
        button("show all", "all", () => range()),
      ),
    ),
    canvas,
  );
  return {
    element,
    update: (newTimes, values) => {
      data = [newTimes, ...values];
      drawn?.setData(data);
    },
    describe: (text) => canvas.setAttribute("aria-label", `${title}: ${text}`),
  };
}

/** Moves a span by half its length, and keeps it within the range. */
function shifted([first, last], from, to, direction) {
  const step = ((to - from) / 2) * direction;
  const allowed = Math.min(Math.max(step, first - from), last - to);
  return [from + allowed, to + allowed];
}

function options({ series, unit, bands, together, span, width }) {
  const text = color("dim");
  const grid = { stroke: color("edge"), width: 1 };
  const font = "11px system-ui, sans-serif";
  return {
    width,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
    legend: { live: true },
    cursor: { drag: { x: true, y: false }, sync: together ? { key: together } : undefined },
    scales: {
      x: { range: (drawn, min, max) => atLeast(span, min, end(drawn.data[0], max)) },
      y: { range: (_, min, max) => [0, max > 0 ? max * 1.08 : 1] },
    },
    axes: [
      { stroke: text, font, grid, ticks: grid, space: TIME_LABEL_PIXELS, values: timeLabels },
      { stroke: text, font, grid, ticks: grid, size: 76, values: (_, values) => values.map((value) => unit(value)) },
    ],
    series: [
      { label: "Time (UTC)", value: (_, value) => clock(value) },
      ...series.map((one) => ({
        label: one.label,
        stroke: color(one.color),
        fill: series.length === 1 ? `${color(one.color)}33` : undefined,
        width: 1.5,
        points: { show: false },
        value: (_, value) => (value === null || value === undefined ? "–" : unit(value)),
      })),
    ],
    hooks: { drawClear: [(drawn) => mark(drawn, bands)] },
  };
}

/** The end of a range. Of a single time uPlot makes one that ends years later. */
function end(times, max) {
  return times.length === 1 ? times[0] : max;
}

/** A range of time, ending where it ends, that is long enough. */
function atLeast(span, min, max) {
  const last = max ?? Date.now() / 1e3;
  return [Math.min(min ?? last, last - span), last];
}

function clock(seconds) {
  return seconds === null || seconds === undefined ? "–" : iso(seconds).slice(11, 23);
}

function iso(seconds) {
  return new Date(seconds * 1e3).toISOString();
}

/** Times as precise as their distance, the first with its date; all in UTC, as everything on this page. */
function timeLabels(_, times, __, ___, distance) {
  const end = distance >= 60 ? 16 : distance >= 1 ? 19 : 23;
  return times.map((time, at) => {
    const text = iso(time);
    if (distance >= 86_400) {
      return text.slice(0, 10);
    }
    return at === 0 ? `${text.slice(11, end)}\n${text.slice(0, 10)}` : text.slice(11, end);
  });
}

/** Marks spans of time across the whole height. */
function mark(drawn, bands) {
  const { ctx, bbox } = drawn;
  ctx.save();
  ctx.fillStyle = color("loss");
  for (const band of bands) {
    const left = Math.max(drawn.valToPos(band.from, "x", true), bbox.left);
    const right = Math.min(drawn.valToPos(band.to, "x", true), bbox.left + bbox.width);
    if (right >= left) {
      ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
    }
  }
  ctx.restore();
}

/** A line without axes, for a row of a table; it is drawn again with each new list of values. */
export function sparkline(label) {
  const canvas = h("canvas", { class: "spark", role: "img", "aria-label": label, width: 240, height: 48 });
  const draw = (values) => {
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    context.clearRect(0, 0, width, height);
    const most = Math.max(...values, 1);
    context.beginPath();
    values.forEach((value, at) => {
      const x = values.length < 2 ? 0 : (at / (values.length - 1)) * width;
      const y = height - 3 - (value / most) * (height - 6);
      context.lineTo(x, y);
    });
    context.strokeStyle = color("accent");
    context.lineWidth = 3;
    context.stroke();
  };
  return { canvas, draw };
}
