// Files in, a report out.

import { address, get, stream } from "../parts/api.js";
import { fill, h, name } from "../parts/dom.js";
import { emptyState, problemBox, say, showProblem } from "../parts/feedback.js";
import { go, route } from "../parts/router.js";
import { bytes, count, number, span } from "../parts/units.js";
import { upload } from "../parts/upload.js";

/** Shows the place to drop files, or a task that was begun. */
export async function analyse(page, task) {
  if (task !== undefined) {
    await follow(page, task);
    return;
  }
  const { session } = page;
  if (session.role === "viewer") {
    fill(
      page.main,
      page.title("Analyse a file"),
      emptyState(
        "Your role may read reports, not make them.",
        h("p", null, "Ask for the role analyst to upload files."),
      ),
    );
    return;
  }
  const place = h("div");
  const queue = h("p", { class: "dim small", role: "status" });
  fill(page.main, page.title("Analyse a file"), dropZone(page, place), place, queue);
  await describeQueue(queue, page.signal);
}

async function describeQueue(place, signal) {
  try {
    const queue = await get(["queue"], {}, signal);
    const waiting =
      queue.waiting + queue.running === 0
        ? "Nothing is waiting."
        : `${number(queue.running)} running, ${number(queue.waiting)} of at most ${number(queue.capacity)} waiting.`;
    fill(place, `${waiting} ${queue.accepting ? "" : (queue.reason ?? "")}`);
  } catch (error) {
    showProblem(place, error);
  }
}

function dropZone(page, place) {
  const { uploads } = page.session;
  const input = h("input", {
    type: "file",
    id: "files",
    multiple: true,
    class: "unseen",
    tabindex: "-1",
    "aria-hidden": "true",
  });
  const choose = h("button", { type: "button", onclick: () => input.click() }, "Choose files");
  input.addEventListener("change", () => begin([...input.files]));
  const zone = h(
    "div",
    { class: "drop", id: "drop" },
    h("p", { class: "strong" }, "Drop capture files here"),
    h("p", null, choose),
    h(
      "p",
      { class: "dim" },
      "pcap or pcapng, also compressed with gzip or zstd. Several files are taken as one capture in rotated files.",
    ),
    h(
      "p",
      { class: "dim small" },
      `At most ${bytes(uploads.bytes)} and ${count(uploads.files, "file")} at once. The report is kept for ${span(uploads.report_seconds * 1000)}.`,
    ),
    input,
  );
  const over = (is) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", is);
  };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    begin([...event.dataTransfer.files]);
  });
  // A file that misses the zone must not replace the page.
  for (const type of ["dragover", "drop"]) {
    addEventListener(type, (event) => event.preventDefault(), { signal: page.signal });
  }

  async function begin(files) {
    input.value = "";
    if (files.length === 0) {
      return;
    }
    const wrong = refusal(files, uploads);
    if (wrong) {
      fill(place, problemBox(wrong));
      return;
    }
    zone.hidden = true;
    try {
      const task = await upload(place, files, page.signal);
      go("analyse", task);
    } catch (error) {
      zone.hidden = false;
      showProblem(place, error);
      choose.focus();
    }
  }
  return zone;
}

/** What the server would refuse is said before it is sent. */
function refusal(files, uploads) {
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > uploads.bytes) {
    return {
      message: `${count(files.length, "file")} of ${bytes(size)}: an upload may have ${bytes(uploads.bytes)}.`,
      fix: "Compress the file with gzip or zstd, take a part of it, or analyse it where it is with `capturectl analyze FILE`.",
    };
  }
  if (files.length > uploads.files) {
    return {
      message: `${count(files.length, "file")}: an upload may have ${count(uploads.files, "file")}.`,
      fix: "Merge them first, for example with `mergecap`.",
    };
  }
  return null;
}

async function follow(page, id) {
  const { main, signal } = page;
  const task = await get(["tasks", id], {}, signal);
  const heading = page.title(`Analysis of ${task.name}`);
  const bar = h("progress", { max: 100, "aria-label": "Analysed" });
  const line = h("p", { role: "status" });
  const detail = h("p", { class: "dim small" });
  const place = h("div");
  const card = h("div", { class: "card" }, line, bar, detail);
  fill(main, heading, card, place);

  const show = (now) => {
    if (now.state === "done") {
      close();
      say("The report is ready.");
      // The task is no place to come back to.
      location.replace(route("reports", now.report ?? id));
      return;
    }
    if (now.state === "failed") {
      close();
      card.hidden = true;
      fill(place, failure(now));
      return;
    }
    fill(line, sentence(now));
    // Without a value the bar says "under way" and not "nothing done".
    if (now.state === "running" && now.percent > 0) {
      bar.value = now.percent;
    } else {
      bar.removeAttribute("value");
    }
    fill(detail, figures(now));
  };
  const lost = h("p", { class: "dim small", role: "status" });
  main.append(lost);
  let close = () => {};
  show(task);
  if (task.state !== "done" && task.state !== "failed") {
    close = stream(address(["tasks", id, "events"]), signal, {
      events: { task: show },
      onlost: () => fill(lost, "The server does not answer; trying again. The analysis goes on there."),
      onback: () => fill(lost),
    });
  }
}

function sentence(task) {
  switch (task.state) {
    case "uploading":
      return "The files are arriving.";
    case "queued":
      return task.position > 0
        ? `Waiting: ${count(task.position, "analysis", "analyses")} before this one.`
        : "Waiting: next in the queue.";
    default:
      return `Analysing: ${Math.floor(task.percent)} %`;
  }
}

function figures(task) {
  const parts = [
    bytes(task.bytes),
    task.state === "running" && count(task.packets, "packet"),
    task.attempts > 1 && `attempt ${task.attempts}: an earlier worker was lost`,
  ];
  return parts.filter(Boolean).join(" · ");
}

function failure(task) {
  return [
    h("p", null, "There is no report of ", name(task.name), "."),
    problemBox(task.problem ?? { message: "The server did not say why." }),
    h("p", null, h("a", { class: "button", href: route("analyse") }, "Analyse another file")),
  ];
}
