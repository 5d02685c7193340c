// DNS, TLS, HTTP and media: exchange by exchange.

import { h } from "../parts/dom.js";
import { table } from "../parts/table.js";
import { count, duration, moment, number } from "../parts/units.js";

const text = (title, key, more) => ({ title, value: (row) => row[key] ?? "", ...more });
const time = (title, key) => ({
  title,
  numeric: true,
  value: (row) => row[key] ?? null,
  show: (row) => (row[key] === null || row[key] === undefined ? "–" : duration(row[key])),
});
const figure = (title, key) => ({
  title,
  numeric: true,
  value: (row) => row[key] ?? null,
  show: (row) => number(row[key]),
});

/** "median 1.2 ms, 95 % within 9.0 ms", of a pair of nanoseconds. */
function spread(pair) {
  return pair ? `median ${duration(pair[0])}, 95 % within ${duration(pair[1])}` : null;
}

/** "NOERROR 12 · NXDOMAIN 3", the most first. */
function counts(map) {
  return Object.entries(map)
    .sort(([, one], [, other]) => other - one)
    .map(([key, value]) => `${key} ${number(value)}`)
    .join(" · ");
}

function facts(...lines) {
  return h("p", { class: "dim" }, lines.filter(Boolean).join(" · "));
}

/** DNS, question by question. */
export function dns(summary) {
  return h(
    "div",
    null,
    facts(
      count(summary.queries, "query", "queries"),
      `${number(summary.unanswered)} unanswered`,
      `${number(summary.retried)} asked again`,
      summary.truncated > 0 && `${number(summary.truncated)} truncated`,
      summary.malformed > 0 && `${number(summary.malformed)} malformed`,
      spread(summary.response_ns),
    ),
    facts(counts(summary.codes)),
    table({
      caption: "DNS queries",
      rows: summary.rows,
      filter: "queries",
      notListed: summary.not_listed,
      columns: [
        figure("Frame", "frame"),
        { title: "Name", long: true, value: (row) => row.name },
        text("Type", "kind"),
        text("Client", "client"),
        text("Server", "server"),
        { title: "Answer", value: (row) => row.code ?? "none" },
        time("Time", "response_ns"),
      ],
    }),
  );
}

/** TLS, handshake by handshake. */
export function tls(summary) {
  return h(
    "div",
    null,
    facts(
      count(summary.handshakes, "handshake"),
      `${number(summary.answered)} answered`,
      `${number(summary.failed)} failed`,
      summary.quic > 0 && count(summary.quic, "QUIC connection"),
    ),
    facts(counts(summary.versions)),
    table({
      caption: "TLS handshakes",
      rows: summary.rows,
      filter: "handshakes",
      notListed: summary.not_listed,
      columns: [
        figure("Frame", "frame"),
        text("Name", "sni", { long: true }),
        text("Client", "client"),
        text("Server", "server"),
        text("Version", "version"),
        text("Cipher", "cipher"),
        text("Alert", "alert"),
        text("Certificate", "certificate", { long: true }),
        {
          title: "Expires",
          value: (row) => row.expires ?? "",
          show: (row) => (row.expires ? moment(row.expires) : ""),
        },
        time("Time", "hello_ns"),
      ],
    }),
  );
}

/** HTTP, request by request. */
export function http(summary) {
  return h(
    "div",
    null,
    facts(count(summary.requests, "request"), count(summary.responses, "response"), spread(summary.response_ns)),
    facts(counts(summary.methods), counts(summary.statuses)),
    table({
      caption: "HTTP requests",
      rows: summary.rows,
      filter: "requests",
      notListed: summary.not_listed,
      columns: [
        figure("Frame", "frame"),
        text("Method", "method"),
        text("Host", "host"),
        text("Target", "target", { long: true }),
        text("Client", "client"),
        text("Server", "server"),
        { title: "Status", numeric: true, value: (row) => row.status ?? null, show: (row) => row.status ?? "none" },
        time("Time", "response_ns"),
      ],
    }),
  );
}

/** Streams that look like RTP. */
export function media(streams) {
  return table({
    caption: "Media streams",
    rows: streams,
    filter: "streams",
    columns: [
      text("Stream", "name", { long: true }),
      figure("Payload type", "payload_type"),
      figure("Packets", "packets"),
      figure("Missing", "missing"),
      time("Jitter", "jitter_ns"),
      time("Most jitter", "most_jitter_ns"),
    ],
  });
}
