// The form that starts a capture. Each field says what it is for.

import { get, Problem, send } from "../parts/api.js";
import { fill, h, name } from "../parts/dom.js";
import { emptyState, problemBox, say, work } from "../parts/feedback.js";
import { choices, expressionField, field, limitFields, markField, present, select } from "../parts/forms.js";
import { bytes as bytesOf, whole } from "../parts/quantities.js";
import { podFields, words } from "../parts/pods.js";
import { go, route } from "../parts/router.js";
import { showAnswers } from "../parts/state.js";

// A capture that somebody forgets must not run for ever.
const SECONDS_AT_FIRST = 600;
const FILE_BYTES_AT_FIRST = "100 MB";

/** Shows the form. */
export async function start(page) {
  if (!page.session.live.may_change) {
    fill(
      page.main,
      page.title("Start a capture"),
      emptyState("Captures cannot be started here.", h("p", null, page.session.live.reason ?? "")),
    );
    return;
  }
  const { nodes, kubernetes } = await get(["nodes"], {}, page.signal);
  const reachable = nodes.filter((node) => node.facts);
  const place = h("div");
  const notes = nodes
    .filter((node) => node.problem)
    .map((node) =>
      h(
        "div",
        null,
        h("p", { class: "strong" }, "Node ", name(node.node), " does not answer"),
        problemBox(node.problem),
      ),
    );
  if (reachable.length === 0) {
    fill(
      page.main,
      page.title("Start a capture"),
      notes,
      emptyState(
        "No node answers",
        h(
          "p",
          null,
          "Captures are recorded by the daemon captured. Start it with ",
          h("code", null, "captured serve"),
          ", then load this page again.",
        ),
      ),
    );
    return;
  }
  const parts = fields(page, reachable, kubernetes);
  const submit = h("button", null, "Start");
  const onsubmit = (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    work(submit, place, async () => {
      try {
        const answers = await send("POST", ["captures"], { body: parts.request() });
        markField(form, answers.nodes.find((answer) => answer.problem)?.problem);
        if (showAnswers(place, answers)) {
          begun(answers);
        }
      } catch (error) {
        markField(form, error);
        throw error;
      }
    });
  };
  fill(
    page.main,
    page.title("Start a capture"),
    notes,
    h(
      "form",
      { class: "stack", onsubmit, novalidate: true },
      parts.elements,
      place,
      h("div", { class: "row" }, submit, h("a", { class: "button quiet", href: route("captures") }, "Cancel")),
    ),
  );
}

/** Shows the capture; in Kubernetes it may not have begun on any node. */
function begun({ nodes, message }) {
  if (nodes.length === 0) {
    say(`The capture begins as soon as it can: ${message ?? "no node has begun yet."}`);
    go("captures");
    return;
  }
  const title = nodes[0].capture.name;
  say(`${title} runs.`);
  go("captures", title);
}

function fields(page, nodes, kubernetes) {
  const title = h("input", { name: "name", value: proposedName(), autocomplete: "off", spellcheck: "false" });
  const reason = h("input", { name: "reason", autocomplete: "off" });
  const where = choices(
    "Nodes",
    "The machines to record on.",
    nodes.map(({ node, facts }) => [
      node,
      facts.name === node ? name(node) : [name(facts.name), h("span", { class: "dim" }, ` ${node}`)],
    ]),
    nodes.map(({ node }) => node),
  );
  const pods = kubernetes ? podFields() : null;
  const interfaces = kubernetes ? nodeInterfaces() : interfaceFields(nodes);
  const expression = expressionField("", page.signal, () => ({ interfaces: interfaces.value(), node: nodes[0].node }));
  interfaces.element.addEventListener("change", expression.check);
  const limits = limitFields({ seconds: SECONDS_AT_FIRST }, kubernetes);
  const files = fileFields();
  const elements = [
    h(
      "div",
      { class: "fields" },
      field("Name", title, "Letters, digits, “-”, “_” and “.”; the files are called by it."),
      field("Reason", reason, "For the audit log of the node; may stay empty."),
    ),
    pods?.element,
    nodes.length > 1 && where.element,
    interfaces.element,
    expression.element,
    h("fieldset", null, h("legend", null, "Stop by itself"), limits.element),
    files.element,
  ];
  const request = () => {
    const chosen = interfaces.value();
    if (!kubernetes && chosen.length === 0) {
      throw new Problem({
        detail: "No interface is chosen.",
        field: "Interfaces",
        fix: "Choose “any” or at least one interface.",
      });
    }
    if (nodes.length > 1 && where.value().length === 0) {
      throw new Problem({ detail: "No node is chosen.", field: "Nodes", fix: "Choose at least one node." });
    }
    const { targets, ...selected } = pods?.value() ?? {};
    return {
      name: title.value.trim(),
      nodes: chosenNodes(nodes, where.value(), kubernetes),
      ...selected,
      recording: present({ interfaces: chosen, expression: expression.value(), targets, ...files.value() }),
      limits: limits.value(),
      reason: reason.value.trim(),
    };
  };
  return { elements, request };
}

/** The nodes' names; in Kubernetes none for all of them, which includes those that come later. */
function chosenNodes(nodes, chosen, kubernetes) {
  if (kubernetes && (nodes.length === 1 || chosen.length === nodes.length)) {
    return [];
  }
  return nodes.length > 1 ? chosen : [nodes[0].node];
}

/** The interfaces of a cluster's nodes, which are seldom named: pods have their own. */
function nodeInterfaces() {
  const input = h("input", { name: "interfaces", placeholder: "eth*", autocomplete: "off", spellcheck: "false" });
  const help = "Interfaces of the nodes, names or patterns. Empty: the pods’ own, and any for addresses.";
  return { element: field("Interfaces", input, help), value: () => words(input.value) };
}

/** `capture-1126-1007`: the day and the minute, in UTC. */
function proposedName() {
  const now = new Date().toISOString();
  return `capture-${now.slice(5, 10).replace("-", "")}-${now.slice(11, 16).replace(":", "")}`;
}

function interfaceFields(nodes) {
  const found = new Map();
  for (const { facts } of nodes) {
    for (const one of facts.interfaces) {
      found.set(one.name, one.up || (found.get(one.name) ?? false));
    }
  }
  const options = [["any", h("span", null, "any", h("span", { class: "dim" }, " (all, and those that appear later)"))]];
  for (const [title, up] of found) {
    options.push([title, up ? name(title) : h("span", null, name(title), h("span", { class: "dim" }, " (down)"))]);
  }
  const others = h("input", {
    name: "interfaces",
    placeholder: "veth*, eth[0-9]",
    autocomplete: "off",
    spellcheck: "false",
  });
  const group = choices(
    "Interfaces",
    "Where packets are recorded.",
    options,
    ["any"],
    field("Others", others, "Names or patterns, separated by commas. A pattern includes interfaces that appear later."),
  );
  const value = () => [...group.value(), ...words(others.value)];
  return { element: group.element, value };
}

function fileFields() {
  const direction = select(
    [
      ["both", "received and sent"],
      ["in", "received"],
      ["out", "sent"],
    ],
    "both",
  );
  const sights = select(
    [
      ["", "the default"],
      ["once", "at the first"],
      ["every", "at each"],
    ],
    "",
  );
  const snaplen = h("input", { name: "snaplen", placeholder: "all", inputmode: "numeric" });
  const size = h("input", { value: FILE_BYTES_AT_FIRST });
  const most = h("input", { placeholder: "no limit", inputmode: "numeric" });
  const bytes = h("input", { placeholder: "no limit" });
  const format = select(
    [
      ["", "the node’s default"],
      ["pcapng", "pcapng"],
      ["pcap", "pcap"],
    ],
    "",
  );
  const compression = select(
    [
      ["", "the node’s default"],
      ["none", "none"],
      ["gzip", "gzip"],
      ["zstd", "zstd"],
    ],
    "",
  );
  const element = h(
    "details",
    { class: "card" },
    h("summary", { class: "strong" }, "Packets and files in detail"),
    h(
      "div",
      { class: "fields" },
      field("Direction", direction, "As the interface sees it."),
      field(
        "A packet that passes several interfaces",
        sights,
        "Recorded at the first or at each. The default is the first for addresses in Kubernetes, else each.",
      ),
      field("Bytes of each packet", snaplen, "The snap length: later bytes are cut. Empty: whole packets."),
      field("Next file at", size, "A file is finished before it exceeds this size. Empty: one file."),
      field("Files kept", most, "Older files are removed. Empty: all stay."),
      field("Bytes kept", bytes, "Older files are removed beyond this size. Empty: all stay."),
      field("Format", format, "pcapng names interfaces and directions; pcap is read by older programs."),
      field("Compression", compression, "zstd is faster than gzip and smaller."),
    ),
  );
  const value = () =>
    present({
      direction: direction.value,
      each_packet_once: { once: true, every: false }[sights.value],
      snaplen: whole(snaplen.value, "Bytes of each packet"),
      file_bytes: bytesOf(size.value, "Next file at"),
      max_files: whole(most.value, "Files kept"),
      max_bytes: bytesOf(bytes.value, "Bytes kept"),
      format: format.value,
      compression: compression.value,
    });
  return { element, value };
}
