// An upload with its progress. XMLHttpRequest, because fetch does not say how much was sent.

import { address, Problem, proof, refused } from "./api.js";
import { fill, h, name } from "./dom.js";
import { bytes, count, percent } from "./units.js";

/**
 * Uploads files as one capture.
 *
 * @param {HTMLElement} place Where the progress is shown.
 * @param {File[]} files
 * @param {AbortSignal} signal Ends the upload.
 * @returns {Promise<string>} The id of the task.
 */
export function upload(place, files, signal) {
  const form = new FormData();
  for (const file of files) {
    form.append("file", file, file.name);
  }
  const request = new XMLHttpRequest();
  const bar = h("progress", { max: 100, value: 0, "aria-label": "Uploaded" });
  const line = h("p", { class: "dim small" }, "0 %");
  const what = files.length === 1 ? name(files[0].name) : count(files.length, "file");
  fill(
    place,
    h(
      "div",
      { class: "card" },
      h("p", { role: "status" }, "Uploading ", what),
      bar,
      h(
        "div",
        { class: "row" },
        h("div", { class: "grow" }, line),
        h("button", { type: "button", class: "quiet small", onclick: () => request.abort() }, "Cancel"),
      ),
    ),
  );
  signal.addEventListener("abort", () => request.abort(), { once: true });

  return new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      const share = total > 0 ? loaded / total : 0;
      bar.value = share * 100;
      fill(line, `${percent(share)} of ${bytes(total)}`);
    });
    request.addEventListener("load", () => {
      if (request.status === 202) {
        resolve(JSON.parse(request.responseText).task_id);
      } else {
        reject(refused(request.status, request.responseText));
      }
    });
    // A server that refuses a large upload may close the connection before it was read to its end.
    request.addEventListener("error", () => reject(Problem.unreachable()));
    request.addEventListener("abort", () =>
      reject(new Problem({ detail: "The upload was cancelled. Nothing is kept." })),
    );
    request.open("POST", address(["uploads"]));
    for (const [header, value] of Object.entries(proof())) {
      request.setRequestHeader(header, value);
    }
    request.send(form);
  });
}
