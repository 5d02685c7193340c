// The captures of all nodes, as they run.

import { send } from "../parts/api.js";
import { fill, h, name } from "../parts/dom.js";
import { emptyState, problemBox, say, waiting, work } from "../parts/feedback.js";
import { rates, sumOf, watch } from "../parts/live.js";
import { sparkline } from "../parts/plot.js";
import { go, route } from "../parts/router.js";
import { age, showAnswers, stateBadges, target } from "../parts/state.js";
import { bytes, count, number, rate } from "../parts/units.js";

/** Shows the list. */
export function captures(page) {
  const { main, signal, session } = page;
  const mayChange = session.live.may_change;
  const link = h("p", { class: "dim small", role: "status" });
  const problems = h("div");
  const list = h("div", { class: "captures" }, waiting("Asking the nodes for their captures …"));
  // Cards by the name of the capture. They stay, so that a button keeps the focus while counts change.
  const cards = new Map();
  fill(
    main,
    page.title("Captures", mayChange && h("a", { class: "button", href: route("start") }, "Start a capture")),
    !mayChange && session.live.reason && h("p", { class: "dim" }, session.live.reason),
    link,
    problems,
    list,
  );
  watch(signal, (live) => {
    fill(link, live.connected ? "" : "The server does not answer; trying again. The counts below are old.");
    unreachable(problems, live.problems);
    const groups = live.groups();
    if (groups.length === 0) {
      if (live.ready) {
        cards.clear();
        nothing(list, mayChange, live.problems.size > 0);
      }
      return;
    }
    for (const known of cards.keys()) {
      if (!live.captures.size || !groups.some((group) => group.name === known)) {
        cards.delete(known);
      }
    }
    const elements = groups.map((group) => {
      if (!cards.has(group.name)) {
        cards.set(group.name, new Card(group, page));
      }
      const card = cards.get(group.name);
      card.update(group.captures);
      return card.element;
    });
    arrange(list, elements);
  });
}

/** Puts elements into place without moving those that stand right, which would take their focus. */
function arrange(list, elements) {
  elements.forEach((element, at) => {
    if (list.children[at] !== element) {
      list.insertBefore(element, list.children[at] ?? null);
    }
  });
  while (list.children.length > elements.length) {
    list.lastElementChild.remove();
  }
}

// The nodes' problems as they are shown, so that a screen reader hears each once.
function unreachable(place, problems) {
  const key = JSON.stringify([...problems]);
  if (place.dataset.shown === key) {
    return;
  }
  place.dataset.shown = key;
  fill(
    place,
    [...problems].map(([node, problem]) =>
      h("div", null, h("p", { class: "strong" }, "Node ", name(node), " cannot be watched"), problemBox(problem)),
    ),
  );
}

function nothing(list, mayChange, isUnreachable) {
  const key = `nothing ${isUnreachable}`;
  if (list.dataset.shown === key && list.querySelector(".empty")) {
    return;
  }
  list.dataset.shown = key;
  fill(list, isUnreachable ? noNode() : firstSteps(mayChange));
}

function noNode() {
  return emptyState(
    "No captures can be shown",
    h(
      "p",
      null,
      "Captures are recorded by the daemon captured. Start it with ",
      h("code", null, "captured serve"),
      "; its captures appear here as soon as it answers.",
    ),
    h("p", null, "Without it you can ", h("a", { href: route("analyse") }, "analyse a capture file"), "."),
  );
}

function firstSteps(mayChange) {
  return emptyState(
    "No captures yet",
    h(
      "p",
      null,
      "A capture records packets of network interfaces into files, counts every packet, and says if one was lost.",
    ),
    h(
      "ol",
      null,
      mayChange && [
        h(
          "li",
          null,
          h("a", { href: route("start") }, "Start a capture"),
          " on an interface, for example for ten minutes.",
        ),
        h("li", null, "Watch its counts here, and stop it."),
        h("li", null, "Press Analyse: the report says what is wrong and shows the packets that prove it."),
      ],
      h(
        "li",
        null,
        mayChange && "Or ",
        h("a", { href: route("analyse") }, `${mayChange ? "analyse" : "Analyse"} a capture file`),
        " that you have already.",
      ),
    ),
  );
}

class Card {
  constructor({ name: title, captures: group }, page) {
    this.captures = group;
    this.state = h("span", { class: "row tight" });
    this.target = h("p");
    this.figures = h("dl", { class: "figures" });
    this.line = sparkline(`Packets seen per second by ${title}`);
    this.rate = h("span", { class: "small dim" });
    this.place = h("div");
    const { may_change: mayChange } = page.session.live;
    this.stop = h(
      "button",
      { type: "button", class: "quiet small", onclick: () => work(this.stop, this.place, () => this.#stop(title)) },
      "Stop",
    );
    this.analyse = h(
      "button",
      {
        type: "button",
        class: "quiet small",
        onclick: () => work(this.analyse, this.place, () => analyseCapture(title)),
      },
      "Analyse",
    );
    this.mayStop = mayChange;
    this.mayAnalyse = page.session.role !== "viewer";
    this.element = h(
      "section",
      { class: "card", "data-capture": title, "aria-label": `Capture ${title}` },
      h(
        "div",
        { class: "capture-head" },
        h("h2", null, h("a", { href: route("captures", title) }, name(title))),
        this.state,
        h("span", { class: "grow" }),
        h(
          "span",
          { class: "row tight" },
          this.stop,
          this.analyse,
          h(
            "a",
            { class: "button quiet small", href: route("captures", title), "aria-label": `Details of ${title}` },
            "Details",
          ),
        ),
      ),
      this.target,
      h("div", { class: "row" }, this.figures, h("span", { class: "row tight" }, this.line.canvas, this.rate)),
      this.place,
    );
  }

  async #stop(title) {
    const answers = await send("POST", ["captures", title, "stop"]);
    if (showAnswers(this.place, answers)) {
      say(`${title} has stopped, and everything is on disk.`);
    }
  }

  update(group) {
    const ledger = sumOf(group);
    const written = group.reduce((sum, capture) => sum + capture.bytes_written, 0);
    fill(this.state, stateBadges(group));
    const nodes = group.length > 1 ? `${count(group.length, "node")}, ` : "";
    // Without a node it has not begun: the message says why.
    const waits = group.filter((capture) => capture.node === "").map((capture) => ` · ${capture.message}`);
    fill(this.target, nodes, target(group[0]), waits.length > 0 && h("span", { class: "dim" }, name(waits.join(""))));
    fill(
      this.figures,
      figure("Seen", number(ledger.seen)),
      figure("Written", number(ledger.written)),
      figure("Lost", number(ledger.lost), ledger.lost > 0 && "lost"),
      figure("On disk", bytes(written)),
      figure("Time", age(group)),
    );
    const running = group.some((capture) => !capture.ended);
    this.stop.hidden = !running || !this.mayStop;
    this.analyse.hidden = !this.mayAnalyse || !group.some((capture) => capture.files_finished > 0);
    const { seen } = rates(group);
    this.line.canvas.hidden = !running;
    this.rate.hidden = !running;
    this.line.draw(seen.map((value) => value ?? 0));
    fill(this.rate, seen.length > 0 && seen.at(-1) !== null ? rate(seen.at(-1), "packets") : "");
  }
}

function figure(title, value, kind) {
  return h("div", null, h("dt", null, title), h("dd", { class: kind || null }, value));
}

/** Begins the analysis of the finished files of a capture, and shows its progress. */
export async function analyseCapture(title) {
  const accepted = await send("POST", ["captures", title, "analyze"]);
  go("analyse", accepted.task_id);
}
