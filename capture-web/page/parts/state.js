// How captures are shown wherever they are shown: state, targets, age, and what a node refused.

import { Problem } from "./api.js";
import { fill, h, name } from "./dom.js";
import { problemBox } from "./feedback.js";
import { span } from "./units.js";

/** The states of captures of one name, each once. */
export function stateBadges(captures) {
  const states = [...new Set(captures.map((capture) => capture.state))];
  return states.map((state) => h("span", { class: `badge ${state}` }, state));
}

/** "on eth0, veth*: tcp port 443". */
export function target({ recording }) {
  return [
    "on ",
    h("span", { class: "strong" }, name(recording.interfaces.join(", ") || "the pods’ interfaces")),
    ": ",
    recording.expression === "" ? "every packet" : h("code", null, recording.expression),
  ];
}

/** How long captures of one name have run. */
export function age(captures) {
  const times = captures.filter((capture) => capture.started).map((capture) => new Date(capture.started).getTime());
  if (times.length === 0) {
    return "–";
  }
  const running = captures.some((capture) => !capture.ended);
  const ends = captures.map((capture) => new Date(capture.stopped ?? Date.now()).getTime());
  return span(Math.max((running ? Date.now() : Math.max(...ends)) - Math.min(...times), 0));
}

/** Shows what nodes refused; true if every one did what was asked. */
export function showAnswers(place, answers) {
  const refused = answers.nodes.filter((answer) => answer.problem);
  fill(
    place,
    refused.map((answer) =>
      h(
        "div",
        null,
        answers.nodes.length > 1 && h("p", null, "Node ", name(answer.node), ":"),
        problemBox(new Problem(answer.problem)),
      ),
    ),
  );
  return refused.length === 0;
}
