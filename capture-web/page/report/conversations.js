// Who speaks with whom.

import { fill, h } from "../parts/dom.js";
import { table } from "../parts/table.js";
import { bytes, count, duration, end, number } from "../parts/units.js";

const KINDS = [
  ["tcp", "TCP connections"],
  ["udp", "UDP flows"],
  ["ipv4", "IPv4 pairs"],
  ["ipv6", "IPv6 pairs"],
  ["ethernet", "Ethernet pairs"],
];

/** The conversations of a report, a kind at a time. */
export function conversations(report) {
  const all = report.conversations;
  const kinds = KINDS.filter(([kind]) => all[kind].length > 0);
  const names = report.names ?? {};
  const place = h("div");
  const buttons = kinds.map(([kind, title]) =>
    h(
      "button",
      { type: "button", class: "quiet small", onclick: () => show(kind) },
      `${title} ${number(all[kind].length)}`,
    ),
  );
  function show(chosen) {
    kinds.forEach(([kind], at) => buttons[at].setAttribute("aria-pressed", String(kind === chosen)));
    const title = kinds.find(([kind]) => kind === chosen)[1];
    fill(place, list(title, all[chosen], chosen, names));
  }
  if (kinds.length > 0) {
    show(kinds[0][0]);
  }
  return h(
    "div",
    null,
    all.closed_early > 0 &&
      h(
        "p",
        { class: "dim small" },
        `${number(all.closed_early)} flows were closed early, because more were live than are kept.`,
      ),
    all.not_listed > 0 &&
      h(
        "p",
        { class: "dim small" },
        `The largest are listed; ${count(all.not_listed, "more conversation")} of all kinds are not.`,
      ),
    kinds.length === 0 &&
      h("p", { class: "dim" }, "No conversations: none of the packets has addresses that are decoded."),
    h("div", { class: "row tight", role: "group", "aria-label": "Kind of conversations" }, buttons),
    place,
    talkers(all.talkers, names),
  );
}

function withName(address, names) {
  return names[address] ? `${names[address]} (${address})` : address;
}

function endWithName(one, names) {
  return names[one.address] ? `${names[one.address]} (${end(one)})` : end(one);
}

function list(title, rows, kind, names) {
  const tcp = kind === "tcp";
  const figure = (column, value, show) => ({ title: column, numeric: true, value, show: (row) => show(value(row)) });
  const orNothing = (write) => (value) => (value === null || value === undefined ? "–" : write(value));
  const dash = orNothing(duration);
  const trouble = (row) => row.tcp.retransmissions + row.tcp.out_of_order + row.tcp.lost_segments;
  return table({
    caption: title,
    rows,
    filter: "conversations",
    columns: [
      { title: "Client", value: (row) => endWithName(row.client, names) },
      { title: "Server", value: (row) => endWithName(row.server, names) },
      figure("Packets", (row) => row.client_packets + row.server_packets, number),
      figure("From client", (row) => row.client_bytes, bytes),
      figure("From server", (row) => row.server_bytes, bytes),
      figure("Duration", (row) => row.duration_ns, duration),
      tcp && { title: "Opened", value: (row) => row.tcp.opened },
      tcp && { title: "Ended", value: (row) => row.tcp.ended },
      tcp && figure("Handshake", (row) => row.tcp.handshake_ns, dash),
      tcp && figure("Round trip", (row) => row.tcp.mean_round_trip_ns, dash),
      tcp && figure("Wait for server", (row) => row.tcp.waited_for_server_ns, dash),
      tcp && figure("Sent again", (row) => row.tcp.retransmissions, number),
      tcp && { ...figure("In trouble", trouble, number), help: "Segments sent again, out of order, or missing" },
    ].filter(Boolean),
  });
}

function talkers(rows, names) {
  if (rows.length === 0) {
    return null;
  }
  const figure = (title, key, show) => ({
    title,
    numeric: true,
    value: (row) => row[key],
    show: (row) => show(row[key]),
  });
  return h(
    "section",
    null,
    h("h2", null, "Top talkers"),
    table({
      caption: "Top talkers",
      rows,
      filter: "talkers",
      columns: [
        { title: "Address", value: (row) => withName(row.address, names) },
        figure("Sent packets", "sent_packets", number),
        figure("Sent", "sent_bytes", bytes),
        figure("Received packets", "received_packets", number),
        figure("Received", "received_bytes", bytes),
      ],
    }),
  );
}
