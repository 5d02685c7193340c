// What a report says first: how well the network does, how much was seen, and why the score is what it is.

import { h } from "../parts/dom.js";
import { table } from "../parts/table.js";
import { bitRate, bytes, duration, moment, number } from "../parts/units.js";

/** The score and the facts of a report. */
export function overview(report) {
  return h("div", { class: "overview" }, scoreCard(report.health), facts(report));
}

/** How a score is called: the colour is never alone. */
export function verdict(score) {
  if (score === null || score === undefined) {
    return { word: "not measured", kind: "" };
  }
  if (score >= 80) {
    return { word: "good", kind: "good" };
  }
  return score >= 50 ? { word: "fair", kind: "fair" } : { word: "poor", kind: "poor" };
}

function scoreCard(health) {
  const { word, kind } = verdict(health.score);
  if (kind === "") {
    return h(
      "section",
      { class: "card" },
      h("h2", { class: "unseen" }, "Health"),
      h("p", { class: "strong" }, "No health score"),
      h("p", { class: "dim" }, "The capture contains too little TCP and DNS to measure one."),
    );
  }
  const taking = health.terms.filter((term) => term.taken > 0).sort((one, other) => other.taken - one.taken);
  return h(
    "section",
    { class: "card" },
    h("h2", { class: "unseen" }, "Health"),
    h("p", { class: `score ${kind}` }, number(health.score), h("small", null, `of 100 · ${word}`)),
    taking.length === 0
      ? h("p", { class: "dim" }, "Nothing that is measured takes anything off.")
      : h(
          "ul",
          { class: "plain small" },
          taking.slice(0, 4).map((term) => h("li", null, `−${term.taken.toFixed(1)} ${term.name}`)),
        ),
  );
}

function facts(report) {
  const { inventory, recorder } = report;
  const seconds = (inventory.duration_ns ?? 0) / 1e9;
  const entries = [
    ["Packets", number(inventory.packets)],
    ["Bytes on the wire", bytes(inventory.bytes)],
    ["Flows", number(report.conversations.flows)],
    ["Duration", duration(inventory.duration_ns)],
    seconds > 0 && ["Mean rate", bitRate((inventory.bytes * 8) / seconds)],
    inventory.first && ["First packet", moment(inventory.first)],
    inventory.cut > 0 && ["Cut by the snap length", number(inventory.cut)],
    inventory.copies > 0 && ["Copies at other interfaces", number(inventory.copies)],
  ].filter(Boolean);
  return h(
    "div",
    null,
    h(
      "dl",
      { class: "facts" },
      entries.map(([title, value]) => h("div", null, h("dt", null, title), h("dd", null, value))),
    ),
    recorderLoss(recorder),
    report.complete ? null : h("p", { class: "problem" }, "Not all of every file was read; the files below say why."),
    report.notes.map((note) => h("p", { class: "dim small" }, note)),
  );
}

/** What the recorder lost, apart from what the network lost. */
function recorderLoss(recorder) {
  if (!recorder) {
    return h(
      "p",
      { class: "dim small" },
      "Loss in the recorder: no file says. Gaps below may be packets that the recorder missed.",
    );
  }
  if (recorder.lost === 0) {
    return h(
      "p",
      { class: "small" },
      h("span", { class: "badge good" }, "recorder lost nothing"),
      ` What is missing below was lost in the network (source: ${recorder.source}).`,
    );
  }
  return h(
    "p",
    { class: "problem" },
    h("span", { class: "strong" }, `The recorder itself lost ${number(recorder.lost)} packets. `),
    `They are missing in the file, not in the network (source: ${recorder.source}). Plots mark the time; findings say where this could explain them.`,
  );
}

/** The terms of the score. */
export function terms(health) {
  if (health.terms.length === 0) {
    return null;
  }
  const figure = (value) => (Number.isInteger(value) ? number(value) : value.toFixed(2));
  return h(
    "section",
    null,
    h("h2", null, "How the score came about"),
    h(
      "p",
      { class: "dim small" },
      "100 less what each term takes off: nothing up to “good”, all its weight from “bad” on, and in proportion between.",
    ),
    table({
      caption: "Terms of the health score",
      rows: [...health.terms].sort((one, other) => other.taken - one.taken),
      columns: [
        { title: "Term", value: (term) => term.name },
        {
          title: "Measured",
          numeric: true,
          value: (term) => term.measured,
          show: (term) => `${figure(term.measured)} ${term.unit}`,
        },
        { title: "Of", numeric: true, value: (term) => term.of, show: (term) => number(term.of) },
        { title: "Good up to", numeric: true, value: (term) => term.good, show: (term) => `${term.good} ${term.unit}` },
        { title: "Bad from", numeric: true, value: (term) => term.bad, show: (term) => `${term.bad} ${term.unit}` },
        { title: "Weight", numeric: true, value: (term) => term.weight, show: (term) => figure(term.weight) },
        { title: "Took off", numeric: true, value: (term) => term.taken, show: (term) => term.taken.toFixed(1) },
      ],
    }),
  );
}
