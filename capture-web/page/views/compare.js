// Two reports side by side.

import { get } from "../parts/api.js";
import { fill, h, name } from "../parts/dom.js";
import { route } from "../parts/router.js";
import { moment, number } from "../parts/units.js";
import { table } from "../parts/table.js";

/** Shows two reports by their ids. */
export async function compare(page, a, b) {
  if (!a || !b) {
    fill(
      page.main,
      page.title("Compare"),
      h("p", null, "Choose two reports in ", h("a", { href: route("reports") }, "the list"), "."),
    );
    return;
  }
  const found = await get(["reports", "compare"], { a, b }, page.signal);
  fill(
    page.main,
    page.title("Compare", h("a", { class: "button quiet small", href: route("compare", b, a) }, "Swap")),
    h("dl", { class: "facts" }, side("A", found.a), side("B", found.b)),
    h("h2", null, "Measures"),
    measures("Measures of both reports", found.measures),
    h("h2", null, "Findings by kind"),
    found.findings.length === 0
      ? h("p", { class: "dim" }, "Neither report has findings.")
      : measures("Findings of both reports", found.findings),
  );
}

function side(letter, summary) {
  return h(
    "div",
    null,
    h("dt", null, letter),
    h(
      "dd",
      null,
      h("a", { href: route("reports", summary.id) }, name(summary.name)),
      h("span", { class: "dim small" }, ` ${moment(summary.created)}`),
    ),
  );
}

function figure(value) {
  if (value === undefined || value === null) {
    return "–";
  }
  return Number.isInteger(value) ? number(value) : value.toFixed(2);
}

function difference({ a, b }) {
  return a === undefined || b === undefined ? null : b - a;
}

function measures(caption, rows) {
  return table({
    caption,
    rows,
    columns: [
      { title: "Measure", value: (row) => row.name },
      { title: "A", numeric: true, value: (row) => row.a ?? null, show: (row) => figure(row.a) },
      { title: "B", numeric: true, value: (row) => row.b ?? null, show: (row) => figure(row.b) },
      { title: "B − A", numeric: true, value: difference, show: (row) => signed(difference(row)) },
      {
        title: "Change",
        numeric: true,
        value: share,
        show: (row) => (share(row) === null ? "–" : `${signed(share(row) * 100)} %`),
      },
    ],
  });
}

function share(row) {
  const change = difference(row);
  return change === null || row.a === 0 ? null : change / row.a;
}

function signed(value) {
  if (value === null) {
    return "–";
  }
  return value > 0 ? `+${figure(value)}` : figure(value).replace("-", "−");
}
