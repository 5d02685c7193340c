// A report, one's own or a shared one.

import { address, get, send } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { confirmed, copy, say, work } from "../parts/feedback.js";
import { go, route } from "../parts/router.js";
import { bytes, moment, number } from "../parts/units.js";
import { dns, http, media, tls } from "../report/applications.js";
import { protocols, sources } from "../report/contents.js";
import { conversations } from "../report/conversations.js";
import { findings } from "../report/findings.js";
import { overview, terms } from "../report/overview.js";
import { rates } from "../report/rates.js";

// The last report, so that its tabs change without another download.
let last = { key: null };

/** Shows a tab of a report; `place` is where it is in the API: `["reports", id]` or `["shared", token]`. */
export async function report(page, place, tab = "findings") {
  const key = place.join("/");
  if (last.key !== key) {
    const [summary, content] = await Promise.all([
      get(place, {}, page.signal),
      get([...place, "report"], {}, page.signal),
    ]);
    last = { key, summary, content };
  }
  const { summary, content } = last;
  const tabs = available(content, summary, place, page.signal);
  const chosen = tabs.find((one) => one.id === tab) ?? tabs[0];
  const messages = h("div");
  fill(
    page.main,
    page.title(summary.name, actions(page, place, summary, messages)),
    h(
      "p",
      { class: "dim small" },
      `Made ${moment(summary.created)} from ${summary.files === 1 ? "one file" : `${number(summary.files)} files`} of ${bytes(summary.bytes)}; kept until ${moment(summary.expires)}.`,
      place[0] === "shared" && " This is a shared report: it can only be read.",
    ),
    messages,
    h(
      "nav",
      { class: "tabs", "aria-label": "Parts of the report" },
      tabs.map((one) =>
        h("a", { href: route(...place, one.id), "aria-current": one === chosen ? "page" : null }, one.title),
      ),
    ),
    h("div", null, chosen.show()),
  );
}

function available(content, summary, place, signal) {
  const packets =
    summary.has_packets && place[0] === "reports"
      ? (finding) => address([...place, "packets"], { finding: finding.id })
      : null;
  const tab = (id, title, show) => ({ id, title, show });
  return [
    tab("findings", `Findings ${number(content.findings.length)}`, () => [
      overview(content),
      h("h2", null, "Findings"),
      findings(content, packets),
      terms(content.health),
    ]),
    tab("time", "Over time", () => rates(content, signal)),
    tab("conversations", "Conversations", () => conversations(content)),
    content.dns && tab("dns", "DNS", () => dns(content.dns)),
    content.tls && tab("tls", "TLS", () => tls(content.tls)),
    content.http && tab("http", "HTTP", () => http(content.http)),
    content.udp.rtp?.length > 0 && tab("media", "Media", () => media(content.udp.rtp)),
    tab("protocols", "Protocols", () => protocols(content)),
    tab("files", "Files", () => sources(content)),
  ].filter(Boolean);
}

function actions(page, place, summary, messages) {
  const download = (title, end) =>
    h(
      "a",
      {
        class: "button quiet small",
        href: address([...place, end]),
        download: `report.${end === "html" ? "html" : "json"}`,
      },
      title,
    );
  const own = place[0] === "reports";
  const mayChange = own && page.session.role !== "viewer";
  const share = h(
    "button",
    { type: "button", class: "quiet small", onclick: () => work(share, messages, () => shareLink(place, messages)) },
    "Share",
  );
  const remove = h(
    "button",
    { type: "button", class: "quiet small", onclick: () => work(remove, messages, () => removeReport(place, summary)) },
    "Delete",
  );
  return h(
    "div",
    { class: "row tight" },
    download("JSON", "report"),
    download("HTML", "html"),
    mayChange && share,
    mayChange && remove,
  );
}

async function shareLink(place, messages) {
  const shared = await send("POST", [...place, "share"]);
  // The page may be below a path of a proxy, which the server does not know.
  const link = new URL(`${location.pathname}${route("shared", shared.token)}`, location.href).href;
  const field = h("input", {
    id: "shared-link",
    class: "mono",
    readonly: true,
    value: link,
    onfocus: () => field.select(),
  });
  fill(
    messages,
    h(
      "div",
      { class: "card stack" },
      h("label", { for: "shared-link" }, "Whoever has this link can read the report, without an account"),
      h(
        "div",
        { class: "row" },
        h("div", { class: "field grow" }, field),
        h("button", { type: "button", onclick: () => copy(link, "Link") }, "Copy"),
      ),
      h("p", { class: "dim small" }, `It ends with the report: ${moment(shared.expires)}.`),
    ),
  );
  field.focus();
}

async function removeReport(place, summary) {
  const yes = await confirmed({
    title: "Delete this report?",
    text: `The report of ${summary.name}, its files and its shared links are removed and cannot be restored.`,
    action: "Delete the report",
  });
  if (yes) {
    await send("DELETE", place);
    last = { key: null };
    say("The report was deleted.");
    go("reports");
  }
}
