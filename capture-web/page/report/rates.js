// What happened over time. The plots zoom together.

import { h } from "../parts/dom.js";
import { plot } from "../parts/plot.js";
import { bitRate, count, duration, number, rate } from "../parts/units.js";

/** The plots of a report. */
export function rates(report, signal) {
  const data = report.rates;
  if (!data || data.packets.length === 0) {
    return h("p", { class: "dim" }, "The packets have no time, or there are none: nothing to plot.");
  }
  const seconds = data.bucket_ns / 1e9;
  const start = data.start_ns / 1e9;
  const times = data.packets.map((_, at) => start + at * seconds);
  const perSecond = (values, factor) => values.map((value) => (value * factor) / seconds);
  const bands = (report.recorder?.spans ?? [])
    .filter((span) => span.lost > 0)
    .map((span) => ({ from: span.from_ns / 1e9, to: span.to_ns / 1e9 }));
  const most = (values, unit) =>
    `at most ${unit(Math.max(...values))}, over ${duration(data.bucket_ns * times.length)}`;
  const shared = { times, bands, together: "report", signal };
  const bits = perSecond(data.bytes, 8);
  const packets = perSecond(data.packets, 1);
  const packetRate = (value) => rate(value);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  return h(
    "div",
    null,
    h(
      "p",
      { class: "dim small" },
      `Drag across a plot to zoom, double-click to see all; the buttons do the same. One point is ${duration(data.bucket_ns)}.`,
    ),
    plot({
      ...shared,
      title: "Throughput on the wire",
      series: [{ label: "Throughput", color: "accent", values: bits }],
      unit: bitRate,
      summary: most(bits, bitRate),
    }).element,
    plot({
      ...shared,
      title: "Packets per second",
      series: [{ label: "Packets", color: "accent", values: packets }],
      unit: packetRate,
      summary: most(packets, packetRate),
    }).element,
    plot({
      ...shared,
      title: `TCP segments in trouble per ${duration(data.bucket_ns)}`,
      series: [
        { label: "Sent again", color: "critical", values: data.retransmissions },
        { label: "Gaps", color: "warning", values: data.missing_segments },
      ],
      unit: number,
      summary: `${number(sum(data.retransmissions))} sent again, ${count(sum(data.missing_segments), "gap")}`,
    }).element,
    bands.length > 0 &&
      h(
        "p",
        { class: "dim small" },
        h("span", { class: "swatch" }),
        "The recorder itself lost packets in this time. They are missing in the file and were not lost in the network.",
      ),
  );
}
