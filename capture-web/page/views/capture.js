// One capture: its counts, its rates, its settings, its files.

import { address, get, send } from "../parts/api.js";
import { fill, h, name } from "../parts/dom.js";
import { confirmed, say, work } from "../parts/feedback.js";
import { expressionField, limitFields, markField } from "../parts/forms.js";
import { showLedger } from "../parts/ledger.js";
import { rates, sumOf, watch } from "../parts/live.js";
import { plot } from "../parts/plot.js";
import { secondsText } from "../parts/quantities.js";
import { go, route } from "../parts/router.js";
import { age, showAnswers, stateBadges, target } from "../parts/state.js";
import { bytes, moment, number, rate } from "../parts/units.js";
import { analyseCapture } from "./captures.js";
import { interfaceTable, nodeTable } from "./counts.js";
import { captureFiles } from "./files.js";

const SHOWN_SECONDS = 60;

const packetRate = (value) => rate(value);

/** Shows the capture of a name, on all its nodes. */
export async function capture(page, title) {
  const { main, signal } = page;
  let group = await get(["captures", title], {}, signal);
  // A capture that was just started is told of a little later, if the server asks a coordinator now and then.
  let isFollowed = false;
  const view = new View(page, title, group.length > 1);
  fill(main, view.elements);
  view.update(group);
  watch(signal, (live) => {
    fill(view.link, live.connected ? "" : "The server does not answer; trying again. The counts below are old.");
    const now = [...live.captures.values()].filter((one) => one.name === title);
    if (now.length > 0) {
      isFollowed = true;
      group = now;
      view.update(group);
    } else if (isFollowed && live.ready && live.problems.size === 0 && live.connected) {
      say(`${title} was deleted.`);
      go("captures");
    }
  });
}

class View {
  constructor(page, title, several) {
    this.page = page;
    this.title = title;
    this.link = h("p", { class: "dim small", role: "status" });
    this.state = h("span", { class: "row tight" });
    this.summary = h("p");
    this.messages = h("div");
    this.warnings = h("div");
    this.form = h("div");
    this.ledger = h("section");
    this.settings = h("section");
    this.nodes = several ? nodeTable() : null;
    this.interfaces = interfaceTable(several);
    this.files = captureFiles(page, title);
    this.plot = plot({
      title: "Packets per second",
      times: [],
      series: [
        { label: "Seen", color: "accent", values: [] },
        { label: "Written", color: "good", values: [] },
        { label: "Lost", color: "critical", values: [] },
      ],
      unit: packetRate,
      span: SHOWN_SECONDS,
      summary: "no figures yet",
      signal: page.signal,
    });
    const button = (text, task) => {
      const element = h(
        "button",
        { type: "button", class: "quiet small", onclick: () => work(element, this.messages, task) },
        text,
      );
      return element;
    };
    this.stop = button("Stop", () => this.#stop());
    this.change = button("Change", () => this.#change());
    this.analyse = button("Analyse", () => analyseCapture(title));
    this.remove = button("Delete", () => this.#remove());
    this.merged = h(
      "a",
      { class: "button quiet small", href: address(["captures", title, "merged"]), download: "" },
      "Download merged",
    );
    this.elements = [
      h("p", { class: "small" }, h("a", { href: route("captures") }, "← Captures")),
      page.title(
        title,
        this.state,
        h("span", { class: "row tight" }, this.stop, this.change, this.analyse, this.merged, this.remove),
      ),
      this.link,
      this.summary,
      this.messages,
      this.form,
      this.warnings,
      this.plot.element,
      this.ledger,
      this.nodes?.element,
      this.interfaces.element,
      this.files.element,
      this.settings,
    ];
  }

  update(group) {
    this.group = group;
    const running = group.some((one) => !one.ended);
    const { may_change: mayChange } = this.page.session.live;
    fill(this.state, stateBadges(group));
    fill(
      this.summary,
      target(group[0]),
      h(
        "span",
        { class: "dim" },
        ` · ${age(group)} · ${bytes(group.reduce((sum, one) => sum + one.bytes_written, 0))} on disk`,
      ),
    );
    this.stop.hidden = !mayChange || !running;
    this.change.hidden = !mayChange || !running;
    this.remove.hidden = !mayChange || running;
    const hasFiles = group.some((one) => one.files_finished > 0);
    this.analyse.hidden = !hasFiles || this.page.session.role === "viewer";
    this.merged.hidden = !hasFiles;
    showLedger(this.ledger, sumOf(group), !running);
    this.#rates(group, running);
    this.#notes(group);
    this.nodes?.update(group);
    this.interfaces.update(group);
    fill(this.settings, settingsList(group[0], group.length > 1));
    // Rotation and the end of the capture change the list of files, and nothing else does.
    this.files.refresh(group.map((one) => `${one.node} ${one.files_finished} ${one.ended}`).join("\n"));
  }

  #rates(group, running) {
    const found = rates(group);
    this.plot.element.hidden = !running && !found.seen.some((value) => value > 0);
    this.plot.update(found.times, [found.seen, found.written, found.lost]);
    const last = found.seen.at(-1);
    this.plot.describe(last === undefined || last === null ? "no figures yet" : `now ${rate(last, "packets")} seen`);
  }

  /** Why it ended, and what went wrong without ending it. Written only when it changes, for screen readers. */
  #notes(group) {
    const notes = group.flatMap((one) => {
      const node = group.length > 1 ? `${one.node}: ` : "";
      const kind = one.state === "failed" ? "problem" : "card small";
      const texts = [[one.message, kind], ...one.warnings.map((warning) => [warning, "card small"])];
      return texts.filter(([text]) => text).map(([text, style]) => [node + text, style]);
    });
    const key = JSON.stringify(notes);
    if (this.warnings.dataset.shown !== key) {
      this.warnings.dataset.shown = key;
      fill(
        this.warnings,
        notes.map(([text, style]) => h("p", { class: style }, name(text))),
      );
    }
  }

  async #stop() {
    const answers = await send("POST", ["captures", this.title, "stop"]);
    if (showAnswers(this.messages, answers)) {
      say(`${this.title} has stopped, and everything is on disk.`);
    }
  }

  async #remove() {
    const yes = await confirmed({
      title: `Delete ${this.title}?`,
      text: "The capture and all its files are removed from every node and cannot be restored. Reports that were made of it stay.",
      action: "Delete the capture",
    });
    if (yes) {
      const answers = await send("DELETE", ["captures", this.title]);
      if (showAnswers(this.messages, answers)) {
        say(`${this.title} was deleted.`);
        go("captures");
      }
    }
  }

  /** Changes the capture, unless somebody else has changed it since `shown`, as which the form was filled. */
  async #save(shown, expression, limits, place) {
    // The generation is one node's: of several nodes each has its own.
    const generation = this.group.length === 1 ? { generation: shown.generation } : {};
    const answers = await send("PATCH", ["captures", this.title], { body: { expression, limits, ...generation } });
    if (showAnswers(place, answers)) {
      fill(this.form);
      say(`${this.title} was changed.`);
      this.change.focus();
    }
  }

  async #change() {
    const one = this.group[0];
    const expression = expressionField(one.recording.expression, this.page.signal, () => ({
      interfaces: one.recording.interfaces,
      node: one.node,
    }));
    const limits = limitFields(one.limits);
    const place = h("div");
    const save = h("button", null, "Save the changes");
    const onsubmit = (event) => {
      event.preventDefault();
      const form = event.currentTarget;
      work(save, place, async () => {
        try {
          await this.#save(one, expression.value(), limits.value(), place);
        } catch (error) {
          markField(form, error);
          throw error;
        }
      });
    };
    const cancel = () => {
      fill(this.form);
      this.change.focus();
    };
    fill(
      this.form,
      h(
        "form",
        { class: "card stack", onsubmit, "aria-label": "Change the capture" },
        h(
          "p",
          { class: "dim small" },
          "Packets that the old and the new expression both match are neither lost nor doubled. Limits count from the start of the capture.",
        ),
        expression.element,
        limits.element,
        place,
        h("div", { class: "row" }, save, h("button", { type: "button", class: "quiet", onclick: cancel }, "Cancel")),
      ),
    );
    this.form.querySelector("textarea").focus();
  }
}

function settingsList({ recording, limits, created, created_by: by, started, stopped, node }, several) {
  const entries = [
    !several && ["Node", name(node)],
    ["Started by", by && name(by)],
    ["Requested", created && moment(created)],
    !several && ["Attached", started && moment(started)],
    !several && ["Ended", stopped && moment(stopped)],
    ["Addresses", recording.targets && name(recording.targets.join(", "))],
    ["Direction", recording.direction ?? "both"],
    ["Kept of each packet", recording.snaplen ? `${number(recording.snaplen)} bytes` : "all"],
    ["Format", [recording.format, recording.compression].filter(Boolean).join(", ")],
    ["Next file at", recording.file_bytes && bytes(recording.file_bytes)],
    ["Files kept", recording.max_files && number(recording.max_files)],
    ["Bytes kept", recording.max_bytes && bytes(recording.max_bytes)],
    ["Stops after", limitText(limits)],
  ].filter((entry) => entry && entry[1]);
  return [
    h("h2", null, "Settings"),
    h(
      "dl",
      { class: "facts" },
      entries.map(([title, value]) => h("div", null, h("dt", null, title), h("dd", null, value))),
    ),
  ];
}

function limitText({ seconds, packets, bytes: size }) {
  const parts = [secondsText(seconds), packets && `${number(packets)} packets`, size && bytes(size)].filter(Boolean);
  return parts.length === 0 ? "it runs until it is stopped" : parts.join(" or ");
}
