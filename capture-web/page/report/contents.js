// What the files contain: protocols, TCP and IP in all, interfaces, files.

import { h, name } from "../parts/dom.js";
import { table } from "../parts/table.js";
import { bytes, count, duration, number, percent } from "../parts/units.js";

/** Protocols, and totals of the lower layers. */
export function protocols(report) {
  const total = Math.max(report.inventory.packets, 1);
  return h(
    "div",
    null,
    h("h2", null, "Protocols"),
    tree(report.protocols, total),
    h("h2", null, "TCP"),
    totals(tcpTotals(report.tcp)),
    h("h2", null, "IP and others"),
    totals(otherTotals(report)),
    sizes(report.inventory.sizes, total),
  );
}

function tree(nodes, total) {
  return h(
    "ul",
    { class: "tree" },
    nodes.map((node) =>
      h(
        "li",
        null,
        h("span", { class: "strong" }, node.name),
        h(
          "span",
          { class: "dim small" },
          `  ${count(node.packets, "packet")} (${percent(node.packets / total)}), ${bytes(node.bytes)}`,
        ),
        node.inside?.length > 0 && tree(node.inside, total),
      ),
    ),
  );
}

function totals(entries) {
  return h(
    "dl",
    { class: "facts" },
    entries.filter(Boolean).map(([title, value]) => h("div", null, h("dt", null, title), h("dd", null, value))),
  );
}

function tcpTotals(tcp) {
  return [
    ["Connections", number(tcp.connections)],
    ["Handshakes completed", number(tcp.completed)],
    ["Begun before the capture", number(tcp.before)],
    ["Refused", number(tcp.refused)],
    ["Unanswered", number(tcp.unanswered)],
    ["Half open", number(tcp.half_open)],
    ["Reset", number(tcp.reset)],
    ["Data", bytes(tcp.data_bytes)],
    tcp.handshake_ns && ["Handshake, median", duration(tcp.handshake_ns[0])],
    tcp.handshake_ns && ["Handshake, 95 % within", duration(tcp.handshake_ns[1])],
    ...Object.entries(tcp.flags).map(([flag, segments]) => [flag.replaceAll("_", " "), number(segments)]),
  ];
}

function otherTotals({ ip, udp, arp, dhcp, icmp }) {
  return [
    ["UDP datagrams", number(udp.datagrams)],
    ["UDP flows", number(udp.flows)],
    udp.one_way > 0 && ["UDP flows one way", number(udp.one_way)],
    ["Fragments", number(ip.fragments)],
    ip.incomplete > 0 && ["Incomplete datagrams", number(ip.incomplete)],
    ip.duplicates > 0 && ["Duplicates", number(ip.duplicates)],
    ip.looping > 0 && ["Looping packets", number(ip.looping)],
    ip.congestion_marked > 0 && ["Congestion marked", number(ip.congestion_marked)],
    arp && ["ARP requests", number(arp.requests)],
    arp && ["ARP replies", number(arp.replies)],
    arp?.conflicts.length > 0 && ["ARP conflicts", arp.conflicts.join(", ")],
    ...Object.entries(dhcp?.messages ?? {}).map(([kind, messages]) => [`DHCP ${kind}`, number(messages)]),
    ...icmp.map((one) => [`${one.protocol}: ${one.name}`, number(one.packets)]),
  ];
}

function sizes(rows, total) {
  if (rows.length === 0) {
    return null;
  }
  const range = (row) =>
    row.to === null || row.to === undefined
      ? `${number(row.from)} and more`
      : `${number(row.from)} to ${number(row.to)}`;
  return h(
    "section",
    null,
    h("h2", null, "Packet lengths"),
    table({
      caption: "Packet lengths",
      rows,
      columns: [
        { title: "Length", unit: "bytes", value: (row) => row.from, show: range },
        { title: "Packets", numeric: true, value: (row) => row.packets, show: (row) => number(row.packets) },
        { title: "Share", numeric: true, value: (row) => row.packets, show: (row) => percent(row.packets / total) },
      ],
    }),
  );
}

/** The interfaces and files of a report. */
export function sources(report) {
  const lost = (row) =>
    row.lost_by_recorder === undefined || row.lost_by_recorder === null ? "not said" : number(row.lost_by_recorder);
  return h(
    "div",
    null,
    report.interfaces.length > 0 && [
      h("h2", null, "Interfaces"),
      table({
        caption: "Interfaces",
        rows: report.interfaces,
        columns: [
          { title: "Interface", value: (row) => row.name ?? "" },
          { title: "Description", long: true, value: (row) => row.description ?? "" },
          { title: "Filter", long: true, value: (row) => row.filter ?? "" },
          { title: "Link type", numeric: true, value: (row) => row.link_type },
          {
            title: "Snap length",
            unit: "bytes",
            numeric: true,
            value: (row) => row.snaplen ?? null,
            show: (row) => (row.snaplen ? number(row.snaplen) : "–"),
          },
          { title: "Packets", numeric: true, value: (row) => row.packets, show: (row) => number(row.packets) },
          { title: "Lost by the recorder", numeric: true, value: (row) => row.lost_by_recorder ?? null, show: lost },
        ],
      }),
    ],
    h("h2", null, "Files"),
    table({
      caption: "Files",
      rows: report.files,
      columns: [
        { title: "File", long: true, value: (row) => row.name, show: (row) => name(row.name) },
        { title: "Format", value: (row) => [row.format, row.compression].filter(Boolean).join(", ") },
        { title: "Packets", numeric: true, value: (row) => row.packets, show: (row) => number(row.packets) },
        { title: "Uncompressed", numeric: true, value: (row) => row.bytes, show: (row) => bytes(row.bytes) },
        { title: "State", long: true, value: (row) => row.problem ?? "read to its end" },
      ],
    }),
  );
}
