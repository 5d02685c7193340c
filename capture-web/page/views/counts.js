// The counts of a capture by node and by interface. Only the rows are written again each second, so that a table keeps
// the focus while it is scrolled with the keyboard.

import { fill, h, name } from "../parts/dom.js";
import { stateBadges } from "../parts/state.js";
import { moment, number } from "../parts/units.js";

const COUNTS = [
  ["Seen", "seen"],
  ["Not matched", "filtered"],
  ["Matched", "matched"],
  ["Written", "written"],
  ["Lost", "lost"],
];

/** The counts by interface; with the node where there are several. */
export function interfaceTable(several) {
  const heads = several ? ["Node", "Interface"] : ["Interface"];
  return table("Interfaces", heads, (group) =>
    group.flatMap((capture) =>
      capture.interfaces.map((one) => ({
        cells: [several && h("td", null, name(capture.node)), h("th", { scope: "row" }, name(one.interface))],
        ledger: one.ledger,
      })),
    ),
  );
}

/** The state and the counts by node. */
export function nodeTable() {
  const time = (text) => h("td", null, text ? moment(text) : "–");
  return table("Nodes", ["Node", "State", "Attached", "Ended"], (group) =>
    group.map((capture) => ({
      cells: [
        h("th", { scope: "row" }, name(capture.node)),
        h("td", null, stateBadges([capture])),
        time(capture.started),
        time(capture.stopped),
      ],
      ledger: capture.ledger,
    })),
  );
}

/** A table of rows with counts; `rowsOf` makes them of the captures. */
function table(title, heads, rowsOf) {
  const body = h("tbody");
  const element = h(
    "section",
    null,
    h("h2", null, title),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
      h(
        "table",
        null,
        h("caption", { class: "unseen" }, `${title}: counts in packets`),
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            heads.map((head) => h("th", { scope: "col" }, head)),
            COUNTS.map(([head]) => h("th", { scope: "col", class: "n" }, head)),
          ),
        ),
        body,
      ),
    ),
  );
  const update = (group) => {
    const rows = rowsOf(group);
    element.hidden = rows.length === 0;
    fill(
      body,
      rows.map(({ cells, ledger }) =>
        h(
          "tr",
          null,
          cells,
          COUNTS.map(([, count]) => h("td", { class: "n" }, number(ledger[count]))),
        ),
      ),
    );
  };
  return { element, update };
}
