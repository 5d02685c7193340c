// A table that can be sorted, filtered, and shown piece by piece, so that ten thousand rows do not stop the page.

import { add, fill, freshId, h, name } from "./dom.js";
import { count, number } from "./units.js";

const ROWS_AT_ONCE = 100;
const FILTER_DELAY_MS = 150;

/**
 * A table.
 *
 * @param {object} options
 * @param {string} options.caption What it shows; its name for a screen reader.
 * @param {Array<object>} options.columns Each with `title`, `value(row)` to sort and filter by, optionally
 *   `show(row)` for what the cell shows, `numeric` for figures, `long` for text that may break, `unit` for its head.
 * @param {Array<object>} options.rows
 * @param {string} [options.filter] What the rows are called in the filter's label; without it there is no filter.
 * @param {number} [options.notListed] Rows that the server left out.
 * @param {{column: number, descending: boolean}} [options.sorted] How the rows are sorted already.
 */
export function table({ caption, columns, rows, filter, notListed = 0, sorted }) {
  const state = { order: sorted ?? null, text: "", shown: ROWS_AT_ONCE };
  const body = h("tbody");
  const summary = h("p", { class: "dim small", role: "status" });
  const more = h("button", { type: "button", class: "quiet", onclick: () => show(state.shown + ROWS_AT_ONCE) });
  const heads = columns.map((column, at) => head(column, () => sortBy(at)));

  // What a filter compares with is computed once a row and not at every key.
  let words = null;
  const matches = () => {
    if (state.text === "") {
      return rows;
    }
    words ??= rows.map((row) =>
      columns
        .map((column) => String(column.value(row) ?? ""))
        .join("\n")
        .toLowerCase(),
    );
    return rows.filter((_, at) => words[at].includes(state.text));
  };

  function show(rowsToShow = ROWS_AT_ONCE) {
    state.shown = rowsToShow;
    const found = matches();
    const visible = ordered(found, columns, state.order).slice(0, rowsToShow);
    fill(
      body,
      visible.map((row) =>
        h(
          "tr",
          null,
          columns.map((column) => cell(column, row)),
        ),
      ),
    );
    if (found.length === 0) {
      add(body, h("tr", null, h("td", { colspan: columns.length, class: "dim" }, "No row contains this text.")));
    }
    const hidden = found.length - visible.length;
    more.hidden = hidden === 0;
    fill(more, `Show ${number(Math.min(hidden, ROWS_AT_ONCE))} more`);
    fill(summary, describe(visible.length, found.length, rows.length, notListed));
    summary.hidden = !filter && hidden === 0 && notListed === 0;
  }

  function sortBy(at) {
    const descending = state.order?.column === at ? !state.order.descending : Boolean(columns[at].numeric);
    state.order = { column: at, descending };
    mark();
    show();
  }

  function mark() {
    heads.forEach((element, at) => {
      const direction = state.order?.column === at ? (state.order.descending ? "descending" : "ascending") : null;
      if (direction) {
        element.setAttribute("aria-sort", direction);
      } else {
        element.removeAttribute("aria-sort");
      }
    });
  }

  mark();
  show();
  return h("div", { class: "table" }, [
    filter &&
      filterField(filter, (text) => {
        state.text = text;
        show();
      }),
    h(
      "div",
      // Scrolled with the keyboard as well, where it is wider than the page.
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      h("table", null, h("caption", { class: "unseen" }, caption), h("thead", null, h("tr", null, heads)), body),
    ),
    h("div", { class: "row" }, summary, more),
  ]);
}

function head(column, onclick) {
  const title = [column.title, column.unit && h("span", { class: "dim" }, ` ${column.unit}`)];
  return h(
    "th",
    { scope: "col", class: column.numeric ? "n" : null },
    column.value ? h("button", { type: "button", class: "sort", onclick, title: column.help }, title) : title,
  );
}

function cell(column, row) {
  const shown = column.show ? column.show(row) : column.value(row);
  const kind = column.numeric ? "n" : column.long ? "long" : null;
  return h("td", { class: kind }, column.numeric || column.show ? shown : name(shown));
}

function ordered(rows, columns, order) {
  if (order === null) {
    return rows;
  }
  const { value } = columns[order.column];
  const direction = order.descending ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one) ?? null, value(other) ?? null];
    // Unknown values come last, whatever the direction.
    if (a === null || b === null) {
      return (a === null) - (b === null);
    }
    const less = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
    return less * direction;
  });
}

function filterField(what, onchange) {
  const id = freshId("filter");
  let timer = 0;
  const input = h("input", {
    id,
    type: "search",
    placeholder: "address, port, name …",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => onchange(input.value.trim().toLowerCase()), FILTER_DELAY_MS);
    },
  });
  return h("div", { class: "field inline" }, h("label", { for: id }, `Filter ${what}`), input);
}

function describe(visible, found, all, notListed) {
  const parts = [
    found === all ? count(all, "row") : `${number(found)} of ${count(all, "row")}`,
    visible < found && `${number(visible)} shown`,
    notListed > 0 && `${number(notListed)} more are in the capture, not in this list`,
  ];
  return parts.filter(Boolean).join(" · ");
}
