// Findings, the worst first, each with what proves it.

import { fill, h, name } from "../parts/dom.js";
import { copy } from "../parts/feedback.js";
import { count, number } from "../parts/units.js";

const SEVERITIES = ["critical", "warning", "notice"];
// Opened at the start; the others are one line each.
const OPEN_AT_START = 1;

/**
 * The findings of a report.
 *
 * @param {object} report
 * @param {?function(object): string} packets The address of the packets of a finding; null where there are none.
 */
export function findings(report, packets) {
  if (report.findings.length === 0) {
    return h("p", null, "Nothing conspicuous was found in these packets.");
  }
  const list = h("div");
  const shown = new Set(SEVERITIES);
  const draw = () => {
    const chosen = report.findings.filter((finding) => shown.has(finding.severity));
    fill(
      list,
      chosen.map((finding, at) => card(report, finding, at < OPEN_AT_START, packets)),
      chosen.length === 0 && h("p", { class: "dim" }, "No finding of the chosen severities."),
    );
  };
  draw();
  return h("div", null, choice(report.findings, shown, draw), list);
}

function choice(all, shown, draw) {
  const buttons = SEVERITIES.map((severity) => {
    const several = all.filter((finding) => finding.severity === severity).length;
    const button = h(
      "button",
      {
        type: "button",
        class: "quiet small",
        "aria-pressed": "true",
        disabled: several === 0,
        onclick: () => {
          if (!shown.delete(severity)) {
            shown.add(severity);
          }
          button.setAttribute("aria-pressed", String(shown.has(severity)));
          draw();
        },
      },
      `${severity} ${number(several)}`,
    );
    return button;
  });
  return h("div", { class: "row tight", role: "group", "aria-label": "Severities to show" }, buttons);
}

function card(report, finding, isOpen, packets) {
  const pairs = [
    ["Meaning", name(finding.meaning)],
    finding.flow && ["Flow", name(finding.flow.name)],
    finding.measured && ["Measured", name(finding.measured)],
    ["Certainty", finding.certainty],
    finding.recorder_loss && ["Recorder’s own loss", name(finding.recorder_loss)],
    ["Frames", frames(report, finding.evidence)],
    ["Next", name(finding.next)],
    ["Display filter", filterLine(finding)],
  ].filter(Boolean);
  return h(
    "details",
    { class: `finding ${finding.severity}`, open: isOpen, "data-id": finding.id },
    h(
      "summary",
      null,
      h("span", { class: `badge ${finding.severity}` }, finding.severity),
      h("span", { class: "strong grow" }, name(finding.title)),
      finding.flow && h("span", { class: "dim small" }, name(finding.flow.name)),
    ),
    h(
      "dl",
      { class: "pairs" },
      pairs.map(([title, value]) => [h("dt", null, title), h("dd", null, value)]),
    ),
    packets &&
      h(
        "p",
        null,
        h(
          "a",
          { class: "button quiet small", href: packets(finding), download: "" },
          `Download ${finding.evidence.count === 1 ? "this packet" : `these ${count(finding.evidence.count, "packet")}`}`,
        ),
      ),
  );
}

function filterLine(finding) {
  return h(
    "span",
    { class: "row tight" },
    h("code", null, name(finding.filter)),
    h(
      "button",
      {
        type: "button",
        class: "quiet small",
        "aria-label": `Copy the display filter of: ${finding.title}`,
        onclick: () => copy(finding.filter, "Display filter"),
      },
      "Copy",
    ),
  );
}

/** "7 between 1,114 and 1,234", with the files where there are several. */
function frames(report, evidence) {
  const place = (at) =>
    report.files.length === 1 ? number(at.frame) : [number(at.frame), " of ", name(report.files[at.file]?.name ?? "?")];
  if (evidence.count === 1) {
    return place(evidence.first);
  }
  return [number(evidence.count), " between ", place(evidence.first), " and ", place(evidence.last)];
}
