// The ledger of a capture: where every packet went, as sums that add up.

import { fill, h } from "./dom.js";
import { number } from "./units.js";

/** The equations of a ledger, each with whether it holds. The last term is what is on its way while a capture runs. */
export function equations(ledger, ended) {
  const { discarded } = ledger;
  const term = (title, value, isLoss = false) => ({ title, value: value ?? null, isLoss });
  const out = [
    term("written", ledger.written),
    term("queue full", discarded.queue_full, true),
    term("disk full", discarded.disk_full, true),
    term("write error", discarded.write_error, true),
    term("after the limit", discarded.stopped),
  ];
  const submitted = ledger.submitted ?? null;
  const counted = total(out);
  if (!ended) {
    out.push(term("on their way", submitted === null || counted === null ? null : Math.max(submitted - counted, 0)));
  }
  return [
    equation(term("seen", ledger.seen), [term("not matched", ledger.filtered), term("matched", ledger.matched)]),
    equation(term("matched", ledger.matched), [
      term("taken", ledger.submitted),
      term("ring full", ledger.ring_full, true),
      term("unreadable", ledger.unreadable, true),
      ...(ledger.duplicate > 0 ? [term("seen before", ledger.duplicate)] : []),
    ]),
    equation(term("taken", submitted), out),
  ];
}

function equation(sum, terms) {
  const right = total(terms);
  const known = sum.value !== null && right !== null;
  return { sum, terms, holds: known ? sum.value === right : null };
}

function total(terms) {
  return terms.reduce((sum, term) => (sum === null || term.value === null ? null : sum + term.value), 0);
}

/** Shows a ledger in `place`. */
export function showLedger(place, ledger, ended) {
  const all = equations(ledger, ended);
  const state = balance(all, ended);
  fill(
    place,
    h("div", { class: "row" }, h("h2", null, "Ledger"), h("span", { class: `badge ${state[0]}` }, state[1])),
    h("p", { class: "dim small" }, "What became of every packet. Terms that are losses are red when they are not 0."),
    h(
      "div",
      { class: "ledger" },
      all.map(({ sum, terms }) =>
        h(
          "div",
          { class: "equation" },
          shown(sum),
          h("span", { class: "sign" }, "="),
          terms.map((term, at) => [at > 0 && h("span", { class: "sign" }, "+"), shown(term)]),
        ),
      ),
    ),
    ledger.truncated > 0 &&
      h("p", { class: "dim small" }, `${number(ledger.truncated)} of the written packets were cut by the snap length.`),
  );
}

function balance(all, ended) {
  if (all.every((one) => one.holds === true)) {
    return ["good", "✓ adds up"];
  }
  if (all.some((one) => one.holds === null)) {
    return ["", "some counts are not known"];
  }
  // The counts of a running capture are not all read in the same instant.
  return ended ? ["critical", "✗ does not add up"] : ["", "counting"];
}

function shown({ title, value, isLoss }) {
  return h(
    "span",
    { class: `term ${isLoss && value > 0 ? "loss" : ""}`, "data-term": title },
    h("span", null, title),
    h("b", null, number(value)),
  );
}
