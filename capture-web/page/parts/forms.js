// Parts of forms: each field says what it is for.

import { send } from "./api.js";
import { add, fill, freshId, h } from "./dom.js";
import { bytes, bytesText, seconds, secondsText, whole } from "./quantities.js";

const CHECK_DELAY_MS = 300;

/** A field with its label and its explanation. */
export function field(label, input, help, ...more) {
  input.id ||= freshId("field");
  input.dataset.label = label;
  const description = freshId("help");
  input.setAttribute("aria-describedby", description);
  return h(
    "div",
    { class: "field" },
    h("label", { for: input.id }, label),
    input,
    h("div", { id: description, class: "dim small" }, help),
    more,
  );
}

// Names of fields that are others in the answers of a node.
const OTHER_NAMES = { filter: "expression" };

/** Marks the field that a problem names, by its label or by its name in the API, and puts the focus there. */
export function markField(form, problem) {
  const last = problem?.field?.split(".").at(-1).toLowerCase();
  const named = OTHER_NAMES[last] ?? last;
  for (const input of form.querySelectorAll("[data-label]")) {
    const isMeant = problem?.field === input.dataset.label || (input.name !== "" && input.name === named);
    input.setAttribute("aria-invalid", String(isMeant));
    if (isMeant) {
      input.closest("details")?.setAttribute("open", "");
      input.focus();
    }
  }
}

/** A choice of one of some values: pairs of value and text. */
export function select(options, chosen) {
  return h(
    "select",
    null,
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
}

/**
 * The field of an expression, which the node compiles while it is typed.
 *
 * @param {string} value
 * @param {AbortSignal} signal
 * @param {function(): object} context The `interfaces` and the `node` that the expression is for.
 */
export function expressionField(value, signal, context) {
  const input = h("textarea", { name: "expression", rows: 2, spellcheck: "false", autocapitalize: "off", value });
  const verdict = h("div", { class: "verdict small", role: "status" });
  let timer = 0;
  let asked = 0;
  const say = (kind, text) => {
    verdict.className = `verdict small ${kind}`;
    fill(verdict, text);
    input.setAttribute("aria-invalid", String(kind === "bad"));
  };
  async function check() {
    asked += 1;
    const mine = asked;
    const expression = input.value.trim();
    if (expression === "") {
      say("", "Empty: every packet.");
      return;
    }
    try {
      const found = await send("POST", ["expression", "check"], { body: { expression, ...context() } });
      // Of several answers under way the last question's counts.
      if (mine === asked) {
        say(found.valid ? "good" : "bad", found.valid ? "✓ The node compiles this expression." : `✗ ${found.problem}`);
      }
    } catch (error) {
      if (mine === asked) {
        say("", `Not checked: ${error.message}`);
      }
    }
  }
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(check, CHECK_DELAY_MS);
  };
  input.addEventListener("input", later);
  signal.addEventListener("abort", () => clearTimeout(timer));
  check();
  const element = field(
    "Expression",
    input,
    [
      "Which packets to record, in the language of pcap-filter(7), as for tcpdump. For example ",
      h("code", null, "tcp port 443"),
      ", ",
      h("code", null, "host 10.0.0.7 and not port 22"),
      ".",
    ],
    verdict,
  );
  return { element, value: () => input.value.trim(), check: later };
}

/** The fields that say when a capture stops by itself; in Kubernetes there is no limit of bytes. */
export function limitFields(limits, kubernetes = false) {
  const time = h("input", { value: secondsText(limits.seconds), placeholder: "10 min", inputmode: "text" });
  const packets = h("input", { value: limits.packets ?? "", placeholder: "100,000", inputmode: "numeric" });
  const size = h("input", { value: bytesText(limits.bytes), placeholder: "1 GB" });
  const element = h(
    "div",
    { class: "fields" },
    field("Time", time, "Stop this long after the start. Empty: no limit."),
    field("Packets", packets, "Stop after exactly this many packets were written. Empty: no limit."),
    !kubernetes && field("Bytes", size, "Stop after about this many bytes were written to files. Empty: no limit."),
  );
  const value = () =>
    present({
      seconds: seconds(time.value, "Time"),
      packets: whole(packets.value, "Packets"),
      bytes: bytes(size.value, "Bytes"),
    });
  return { element, value };
}

/** Without the keys that have no value. */
export function present(object) {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== null && value !== undefined && value !== ""),
  );
}

/** A group of check boxes; `extra` comes after them. */
export function choices(legend, help, options, chosen, extra) {
  const boxes = options.map(([value, text]) => ({
    value,
    box: h("input", { type: "checkbox", checked: chosen.includes(value) }),
    text,
  }));
  const group = h(
    "div",
    { class: "choices" },
    boxes.map(({ box, text }) => h("label", null, box, text)),
  );
  const element = h("fieldset", null, h("legend", null, legend), h("p", { class: "dim small" }, help), group);
  add(element, extra);
  const value = () => boxes.filter(({ box }) => box.checked).map((one) => one.value);
  return { element, value };
}
