// The files of a capture, by node.

import { address, get } from "../parts/api.js";
import { fill, h, name } from "../parts/dom.js";
import { problemBox, showProblem } from "../parts/feedback.js";
import { bytes, count, moment, number } from "../parts/units.js";

/** The section of a capture's files; `refresh(state)` fetches them if the state is another one than before. */
export function captureFiles(page, title) {
  const body = h("div");
  const element = h("section", null, h("h2", null, "Files"), body);
  let shown = null;
  async function refresh(state) {
    if (state === shown) {
      return;
    }
    shown = state;
    try {
      const listing = await get(["captures", title, "files"], {}, page.signal);
      const several = listing.nodes.length > 1;
      fill(
        body,
        listing.nodes.map((node) => nodeFiles(title, node, several)),
      );
    } catch (error) {
      showProblem(body, error);
    }
  }
  return { element, refresh };
}

function nodeFiles(title, { node, files, removed, problem }, several) {
  return h(
    "div",
    null,
    several && h("h3", null, name(node)),
    problem && problemBox(problem),
    files.length === 0 &&
      !problem &&
      h("p", { class: "dim" }, "No file yet: the first one appears with the first packets."),
    files.length > 0 && fileTable(title, node, files),
    removed > 0 &&
      h("p", { class: "dim small" }, `${count(removed, "older file")} removed to stay within the limit of files kept.`),
  );
}

function fileTable(title, node, files) {
  const heads = [["File"], ["State"], ["Packets", "n"], ["Size", "n"], ["First packet"], ["Last packet"], ["Digest"]];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Files" },
    h(
      "table",
      null,
      h("caption", { class: "unseen" }, "Files of the capture, the oldest first"),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          heads.map(([head, kind]) => h("th", { scope: "col", class: kind }, head)),
        ),
      ),
      h(
        "tbody",
        null,
        files.map((file) => fileRow(title, node, file)),
      ),
    ),
  );
}

function fileRow(title, node, file) {
  // A growing file changes while it is read.
  const whole = file.state !== "growing";
  const link = h(
    "a",
    { href: address(["captures", title, "files", file.name], { node }), download: file.name },
    name(file.name),
  );
  return h(
    "tr",
    null,
    h("td", { class: "long" }, whole ? link : name(file.name)),
    h("td", null, file.state),
    h("td", { class: "n" }, number(file.packets)),
    h("td", { class: "n" }, bytes(file.bytes)),
    h("td", null, file.first ? moment(file.first) : "–"),
    h("td", null, file.last ? moment(file.last) : "–"),
    h("td", null, file.digest ? h("code", { title: file.digest }, `${file.digest.slice(0, 19)}…`) : "–"),
  );
}
