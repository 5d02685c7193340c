// The list of reports.

import { get } from "../parts/api.js";
import { add, fill, freshId, h, name } from "../parts/dom.js";
import { emptyState, showProblem } from "../parts/feedback.js";
import { go, route } from "../parts/router.js";
import { bytes, count, distance, moment, number } from "../parts/units.js";
import { verdict } from "../report/overview.js";

const PAGE = 50;
const SEARCH_DELAY_MS = 250;

/** Shows the list. */
export async function reports(page) {
  const { main, signal } = page;
  const chosen = [];
  const compare = h(
    "button",
    { type: "button", class: "quiet", onclick: () => go("compare", ...chosen) },
    "Compare two",
  );
  const hint = h("p", { class: "dim small", role: "status" });
  const search = h("input", {
    id: freshId("search"),
    type: "search",
    placeholder: "name of a file or capture",
    oninput: () => later(),
  });
  const body = h("tbody");
  const place = h("div");
  const more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => load(cursor) }, "Show more");
  const list = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Reports" }, table(body));
  const empty = h("div");
  const tools = h(
    "div",
    null,
    h(
      "div",
      { class: "row" },
      h("div", { class: "field inline grow" }, h("label", { for: search.id }, "Search"), search),
      compare,
    ),
    hint,
  );
  let cursor = null;
  let timer = 0;
  // An answer that arrives after a later question is not shown.
  let asked = 0;

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => load(null), SEARCH_DELAY_MS);
  };
  async function load(from) {
    asked += 1;
    const mine = asked;
    try {
      const found = await get(["reports"], { search: search.value.trim(), limit: PAGE, cursor: from }, signal);
      if (mine !== asked) {
        return;
      }
      if (from === null) {
        fill(body);
      }
      add(
        body,
        found.reports.map((summary) => row(summary, chosen, choose)),
      );
      cursor = found.next ?? null;
      more.hidden = cursor === null;
      nothing(body.childElementCount === 0);
    } catch (error) {
      showProblem(place, error);
    }
  }
  function nothing(is) {
    list.hidden = is;
    const searched = search.value.trim();
    tools.hidden = is && searched === "";
    fill(
      empty,
      is && searched !== "" && h("p", null, "No report has ", h("code", null, searched), " in its name."),
      is &&
        searched === "" &&
        emptyState(
          "No reports yet",
          h("p", null, "A report says what is wrong in a capture file, and shows the packets that prove it."),
          h("p", null, h("a", { class: "button", href: route("analyse") }, "Analyse a file")),
        ),
    );
  }
  function choose(id, is) {
    const at = chosen.indexOf(id);
    if (is && at < 0) {
      chosen.push(id);
    } else if (!is && at >= 0) {
      chosen.splice(at, 1);
    }
    const ready = chosen.length === 2;
    compare.disabled = !ready;
    fill(
      hint,
      ready
        ? ""
        : chosen.length === 1
          ? "Choose one more report to compare."
          : chosen.length > 2
            ? `${count(chosen.length, "report")} are chosen; two can be compared.`
            : "Choose two reports to compare them.",
    );
  }
  choose(null, false);
  fill(
    main,
    page.title("Reports", h("a", { class: "button", href: route("analyse") }, "Analyse a file")),
    tools,
    place,
    list,
    empty,
    h("p", null, more),
  );
  await load(null);
}

function table(body) {
  const heads = ["Compare", "Name", "Score", "Findings", "Packets", "Size", "Owner", "Made", "Kept until"];
  const numeric = new Set(["Score", "Packets", "Size"]);
  return h(
    "table",
    null,
    h("caption", { class: "unseen" }, "Reports, the newest first"),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        heads.map((head) => h("th", { scope: "col", class: numeric.has(head) ? "n" : null }, head)),
      ),
    ),
    body,
  );
}

function row(summary, chosen, choose) {
  const box = h("input", {
    type: "checkbox",
    checked: chosen.includes(summary.id),
    "aria-label": `Compare ${summary.name}`,
    onchange: () => choose(summary.id, box.checked),
  });
  const { word } = verdict(summary.score);
  return h(
    "tr",
    null,
    h("td", null, box),
    h(
      "td",
      { class: "long" },
      h("a", { href: route("reports", summary.id) }, name(summary.name)),
      h(
        "span",
        { class: "dim small" },
        summary.source === "capture" ? " (capture)" : "",
        summary.complete ? "" : " (not read to its end)",
      ),
    ),
    h("td", { class: "n" }, summary.score === undefined ? "–" : `${number(summary.score)} ${word}`),
    h("td", null, badges(summary.findings)),
    h("td", { class: "n" }, number(summary.packets)),
    h("td", { class: "n" }, bytes(summary.bytes)),
    h("td", null, name(summary.owner)),
    h("td", null, h("time", { datetime: summary.created, title: moment(summary.created) }, distance(summary.created))),
    h(
      "td",
      null,
      h("time", { datetime: summary.expires, title: moment(summary.expires) }, moment(summary.expires).slice(0, 16)),
    ),
  );
}

/** Findings by severity; "none" where there are none. */
export function badges(counts) {
  const some = ["critical", "warning", "notice"].filter((severity) => counts[severity] > 0);
  if (some.length === 0) {
    return h("span", { class: "dim" }, "none");
  }
  return h(
    "span",
    { class: "row tight" },
    some.map((severity) => h("span", { class: `badge ${severity}` }, `${number(counts[severity])} ${severity}`)),
  );
}
