// What the page says: results, problems, questions.

import { add, fill, freshId, h, name } from "./dom.js";

const MESSAGE_MS = 6000;

/** Says that something was done: on the screen for a while, and to a screen reader. */
export function say(text) {
  const place = document.getElementById("messages");
  const message = h("p", { class: "message" }, text);
  add(place, message);
  setTimeout(() => message.remove(), MESSAGE_MS);
}

/** A problem, as an error or as the API sends it: what is wrong, the field and its value, and what to do. */
export function problemBox(problem) {
  const wait = problem.retryAfter ?? problem.retry_after;
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", { class: "strong" }, problem.message ?? problem.detail ?? problem.title),
    problem.field &&
      h(
        "p",
        null,
        h("code", null, problem.field),
        problem.value !== null && problem.value !== undefined && [" is ", h("code", null, name(problem.value))],
      ),
    problem.fix && h("p", null, problem.fix),
    wait && h("p", null, `Try again in ${wait} s.`),
  );
}

/** Shows a problem in a place of its own; what is not a problem of the API is a fault of the page and thrown on. */
export function showProblem(place, error) {
  if (error.name === "AbortError") {
    return;
  }
  if (error.name !== "Problem") {
    throw error;
  }
  fill(place, problemBox(error));
}

/**
 * Runs what a button is for, once at a time. A problem is shown in `place`.
 */
export async function work(button, place, task) {
  if (button.getAttribute("aria-disabled") === "true") {
    return;
  }
  // Not `disabled`, which would take the focus away.
  button.setAttribute("aria-disabled", "true");
  fill(place);
  try {
    await task();
  } catch (error) {
    showProblem(place, error);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/**
 * Asks before something that cannot be undone.
 *
 * @returns {Promise<boolean>} Whether it was confirmed.
 */
export function confirmed({ title, text, action }) {
  const heading = freshId("question");
  const dialog = h(
    "dialog",
    { "aria-labelledby": heading },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: heading }, title),
      h("p", null, text),
      h(
        "div",
        { class: "row end" },
        h("button", { value: "cancel", class: "quiet", autofocus: true }, "Cancel"),
        h("button", { value: "confirm", class: "danger" }, action),
      ),
    ),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "confirm");
    });
    dialog.showModal();
  });
}

/** Copies a text, and says so. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    // Without TLS on another host than this one, browsers refuse.
    say(`The browser does not let this page copy. Select the ${what.toLowerCase()} and press Ctrl+C.`);
  }
}

/** What stands in the place of something that is still being fetched. */
export function waiting(text) {
  return h("p", { class: "dim", role: "status" }, text);
}

/** What a view shows where there is nothing yet: what it is for, and what to do. */
export function emptyState(title, ...content) {
  return h("div", { class: "empty" }, h("h2", null, title), content);
}
