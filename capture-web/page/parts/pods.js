// The fields of the start form that select what is recorded in a Kubernetes cluster.

import { Problem } from "./api.js";
import { h } from "./dom.js";
import { field, present } from "./forms.js";

/** The words of a text, which spaces or commas separate. */
export function words(text) {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}

/** Pods by namespace, labels and name, and addresses: at least one of them is needed. */
export function podFields() {
  const input = (title, placeholder) =>
    h("input", { name: title, placeholder, autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const namespaces = input("namespaces", "shop");
  const labels = input("labels", "app=web");
  const names = input("names", "shop/web-0");
  const targets = input("targets", "10.0.0.7, 2001:db8::/32");
  const element = h(
    "fieldset",
    null,
    h("legend", null, "Pods and addresses"),
    h("p", { class: "dim small" }, "Whose packets are recorded: of pods, on whatever node they are, or of addresses."),
    h(
      "div",
      { class: "fields" },
      field("Namespaces", namespaces, "Where pods are looked for. Empty: in all, by their labels."),
      field("Labels", labels, "Pods with all of these labels. Empty: every pod of the namespaces."),
      field("Pods by name", names, "As NAMESPACE/NAME."),
      field("Addresses", targets, "Addresses and networks, in either direction."),
    ),
  );
  const value = () => {
    const pods = present({
      namespaces: list(namespaces),
      labels: pairs(labels),
      names: list(names),
    });
    const chosen = present({ pods: Object.keys(pods).length > 0 ? pods : null, targets: list(targets) });
    if (Object.keys(chosen).length === 0) {
      throw new Problem({
        detail: "Neither pods nor addresses are given.",
        field: "Namespaces",
        fix: "Give namespaces, labels, pods by name or addresses.",
      });
    }
    return chosen;
  };
  return { element, value };
}

function list(input) {
  const found = words(input.value);
  return found.length > 0 ? found : null;
}

function pairs(input) {
  const found = words(input.value).map((text) => {
    const at = text.indexOf("=");
    if (at < 1) {
      throw new Problem({ detail: `The label “${text}” has no value.`, field: "Labels", fix: "Write KEY=VALUE." });
    }
    return [text.slice(0, at), text.slice(at + 1)];
  });
  return found.length > 0 ? Object.fromEntries(found) : null;
}
