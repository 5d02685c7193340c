//! Every field of the documents: its type in the index, whose name it is, and what it means. The mapping and
//! the table in `docs/search.md` are made from it.

use serde_json::{Map, Value, json};

/// The type of a field in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A text that is compared as a whole; its first 1,024 characters are indexed.
    Keyword,
    /// A text that is searched by its words.
    Text,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A whole number.
    Long,
    /// True or false.
    Boolean,
    /// A time with nanoseconds.
    Time,
}

/// Whose name a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The Elastic Common Schema's.
    Ecs,
    /// The one that Elastic's collectors use for Kubernetes, beside the Elastic Common Schema.
    Kubernetes,
    /// The one that users of packet exporters know.
    Known,
    /// Our own.
    Own,
}

/// A field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name, with a dot between levels.
    pub path: &'static str,
    /// Its type in the index.
    pub kind: Type,
    /// Whose name it is.
    pub name: Name,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

impl Type {
    /// The mapping of a field of this type.
    fn mapping(self) -> Value {
        match self {
            Self::Keyword => json!({"type": "keyword", "ignore_above": 1024}),
            Self::Text => json!({"type": "text"}),
            Self::Ip => json!({"type": "ip"}),
            Self::Long => json!({"type": "long"}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Time => json!({"type": "date_nanos"}),
        }
    }

    /// Its name in mappings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Text => "text",
            Self::Ip => "ip",
            Self::Long => "long",
            Self::Boolean => "boolean",
            Self::Time => "date_nanos",
        }
    }
}

const fn field(path: &'static str, kind: Type, name: Name, meaning: &'static str) -> Field {
    Field {
        path,
        kind,
        name,
        meaning,
    }
}

use Name::{Ecs, Known, Kubernetes, Own};
use Type::{Boolean, Ip, Keyword, Long, Text, Time};

/// Every field, in the order of the table.
#[rustfmt::skip]
pub const FIELDS: &[Field] = &[
    field("@timestamp", Time, Ecs, "when it began: the first packet of a flow segment, the question, the request, the packet"),
    field("ecs.version", Keyword, Ecs, "the version of the schema that the names are from"),
    field("message", Text, Ecs, "a finding in one sentence"),
    field("event.kind", Keyword, Ecs, "`event`, or `alert` for a finding"),
    field("event.category", Keyword, Ecs, "`network`"),
    field("event.type", Keyword, Ecs, "`connection`, `protocol` or `info`"),
    field("event.module", Keyword, Ecs, "`capture`"),
    field("event.dataset", Keyword, Ecs, "the kind of document: `capture.flow`, `capture.dns`, `capture.tls`, `capture.http`, `capture.finding`, `capture.packet`"),
    field("event.start", Time, Ecs, "the first packet"),
    field("event.end", Time, Ecs, "the last packet"),
    field("event.duration", Long, Ecs, "nanoseconds: of a flow segment; from question to answer, hello to hello, request to response"),
    field("event.outcome", Keyword, Ecs, "`success` or `failure`; absent where it is not known"),
    field("event.severity", Long, Ecs, "of a finding: 1 notice, 2 warning, 3 critical"),
    field("flow.id", Keyword, Own, "the same for all segments and messages of one flow, also across rotated files"),
    field("network.type", Keyword, Ecs, "`ipv4` or `ipv6`"),
    field("network.transport", Keyword, Ecs, "`tcp`, `udp`, `icmp`, `ipv6-icmp`, `sctp` and so on; a number for others"),
    field("network.iana_number", Keyword, Ecs, "the number of the transport protocol"),
    field("network.protocol", Keyword, Ecs, "`dns`, `tls`, `http`; of a packet the innermost protocol that was recognised"),
    field("network.community_id", Keyword, Ecs, "Community ID version 1, seed 0"),
    field("network.bytes", Long, Ecs, "on the wire, with all headers, both ways"),
    field("network.packets", Long, Ecs, "both ways"),
    field("source.ip", Ip, Ecs, "who opened the connection, asked, or sent the packet"),
    field("source.port", Long, Ecs, "its port"),
    field("source.mac", Keyword, Ecs, "its Ethernet address; packets only"),
    field("source.domain", Keyword, Ecs, "the name that the capture file gives it, such as `POD.NAMESPACE`"),
    field("source.bytes", Long, Ecs, "that it sent, on the wire"),
    field("source.packets", Long, Ecs, "that it sent"),
    field("destination.ip", Ip, Ecs, "the other side"),
    field("destination.port", Long, Ecs, "its port"),
    field("destination.mac", Keyword, Ecs, "its Ethernet address; packets only"),
    field("destination.domain", Keyword, Ecs, "the name that the capture file gives it"),
    field("destination.bytes", Long, Ecs, "that it sent, on the wire"),
    field("destination.packets", Long, Ecs, "that it sent"),
    field("dns.id", Keyword, Ecs, "the number of the message"),
    field("dns.type", Keyword, Ecs, "`query` or `answer`: an answer where there is one"),
    field("dns.question.name", Keyword, Ecs, "the name asked for"),
    field("dns.question.type", Keyword, Ecs, "the type asked for"),
    field("dns.response_code", Keyword, Ecs, "`NOERROR`, `NXDOMAIN` and so on"),
    field("tls.version", Keyword, Ecs, "the version agreed upon, such as `1.3`"),
    field("tls.version_protocol", Keyword, Ecs, "`tls` or `ssl`"),
    field("tls.cipher", Keyword, Ecs, "the cipher agreed upon"),
    field("tls.established", Boolean, Ecs, "false if an alert ended the handshake or no answer came"),
    field("tls.client.server_name", Keyword, Ecs, "the name asked for"),
    field("tls.server.subject", Keyword, Ecs, "the subject of the server's certificate"),
    field("tls.server.not_after", Time, Ecs, "when the server's certificate expires"),
    field("http.request.method", Keyword, Ecs, "`GET`, `POST` and so on"),
    field("http.response.status_code", Long, Ecs, "the status of the response"),
    field("url.original", Keyword, Ecs, "the target of the request, as it was sent"),
    field("url.domain", Keyword, Ecs, "the host of the request, without its port"),
    field("url.path", Keyword, Ecs, "the target up to its query"),
    field("rule.name", Keyword, Ecs, "the kind of the finding"),
    field("rule.description", Keyword, Ecs, "what a finding of this kind means"),
    field("observer.type", Keyword, Ecs, "`recorder`"),
    field("observer.product", Keyword, Ecs, "`captured`"),
    field("observer.version", Keyword, Ecs, "the version of the exporter"),
    field("observer.hostname", Keyword, Ecs, "the node that recorded it"),
    field("observer.ingress.interface.name", Keyword, Ecs, "the interface at which it was recorded"),
    field("observer.ingress.interface.alias", Keyword, Ecs, "the description of the interface"),
    field("host.name", Keyword, Ecs, "the node that recorded it"),
    field("orchestrator.type", Keyword, Ecs, "`kubernetes`, for a pod's interface"),
    field("orchestrator.cluster.name", Keyword, Ecs, "the cluster or site"),
    field("orchestrator.namespace", Keyword, Ecs, "the namespace of the pod"),
    field("orchestrator.resource.name", Keyword, Ecs, "the name of the pod"),
    field("orchestrator.resource.type", Keyword, Ecs, "`pod`"),
    field("kubernetes.namespace", Keyword, Kubernetes, "the namespace of the pod whose interface it is"),
    field("kubernetes.pod.name", Keyword, Kubernetes, "its name"),
    field("kubernetes.pod.uid", Keyword, Kubernetes, "its uid"),
    field("kubernetes.node.name", Keyword, Kubernetes, "its node"),
    field("container.name", Keyword, Ecs, "the names of its containers"),
    field("log.file.path", Keyword, Ecs, "the capture file, on the node"),
    field("capture.name", Keyword, Own, "the capture"),
    field("capture.file.sequence", Long, Own, "the number of the file in its capture"),
    field("capture.file.digest", Keyword, Own, "the digest of the file"),
    field("capture.frame.first", Long, Own, "the frame in the file, as Wireshark counts: of the packet, or the first of a flow segment, message or finding"),
    field("capture.frame.last", Long, Own, "the last frame; that of the answer or response"),
    field("capture.packet.captured", Long, Own, "captured bytes of a packet"),
    field("capture.tcp.opened", Keyword, Own, "`completed`, `refused`, `half-open`, `unanswered`, or `before` where the file begins later"),
    field("capture.tcp.ended", Keyword, Own, "`closed`, `half-closed`, `reset` or `open`"),
    field("capture.tcp.handshake", Long, Own, "nanoseconds from SYN to the ACK that completes the handshake"),
    field("capture.tcp.round_trip.least", Long, Own, "nanoseconds from data to its acknowledgement, the shortest"),
    field("capture.tcp.round_trip.mean", Long, Own, "nanoseconds from data to its acknowledgement, the mean"),
    field("capture.tcp.client_data", Long, Own, "bytes of data from the client, each as often as it was sent"),
    field("capture.tcp.server_data", Long, Own, "bytes of data from the server"),
    field("capture.tcp.retransmissions", Long, Own, "segments that were sent again"),
    field("capture.tcp.out_of_order", Long, Own, "segments that came late"),
    field("capture.tcp.duplicate_acks", Long, Own, "duplicate acknowledgements"),
    field("capture.tcp.lost_segments", Long, Own, "gaps: segments that are not in the file"),
    field("capture.tcp.zero_window", Long, Own, "nanoseconds in which a side took no data"),
    field("capture.tcp.waited_for_server", Long, Own, "nanoseconds that the client waited for answers, beyond the round trip"),
    field("capture.tcp.reset_by", Keyword, Own, "`client` or `server`"),
    field("capture.tls.alpn", Keyword, Own, "the protocols that the client offered"),
    field("capture.tls.alert", Keyword, Own, "the first alert, and who sent it"),
    field("capture.finding.certainty", Keyword, Own, "`possible`, `likely` or `certain`"),
    field("capture.finding.severity", Keyword, Own, "`notice`, `warning` or `critical`"),
    field("capture.finding.next", Keyword, Own, "what to look at next"),
    field("capture.finding.filter", Keyword, Own, "the Wireshark display filter that shows its frames"),
    field("capture.finding.measured", Keyword, Own, "what was measured, and the threshold"),
    field("capture.finding.frames", Long, Own, "frames that prove it"),
    field("timestamp", Time, Known, "`@timestamp` of a packet"),
    field("packet_length", Long, Known, "bytes of a packet on the wire"),
    field("src_ip", Ip, Known, "`source.ip` of a packet"),
    field("dst_ip", Ip, Known, "`destination.ip` of a packet"),
    field("src_port", Long, Known, "`source.port` of a packet"),
    field("dst_port", Long, Known, "`destination.port` of a packet"),
    field("l4_protocol", Keyword, Known, "`network.transport` of a packet, in capitals"),
];

/// The mapping of the index: strict, so that a field that is not in [`FIELDS`] is an error and not a new field.
#[must_use]
pub fn mapping() -> Value {
    let mut properties = Map::new();
    for field in FIELDS {
        insert(&mut properties, field.path, field.kind.mapping());
    }
    json!({
        "dynamic": "strict",
        "date_detection": false,
        "properties": properties,
    })
}

fn insert(properties: &mut Map<String, Value>, path: &str, mapping: Value) {
    let Some((level, rest)) = path.split_once('.') else {
        properties.insert(path.to_owned(), mapping);
        return;
    };
    let inner = properties
        .entry(level)
        .or_insert_with(|| json!({"properties": {}}));
    if let Some(inner) = inner.get_mut("properties").and_then(Value::as_object_mut) {
        insert(inner, rest, mapping);
    }
}

#[cfg(test)]
mod tests {
    use super::{FIELDS, Name, mapping};

    /// The table of `docs/search.md`.
    fn table() -> String {
        let mut table = "| field | type | name | meaning |\n|---|---|---|---|\n".to_owned();
        for field in FIELDS {
            let name = match field.name {
                Name::Ecs => "ECS",
                Name::Kubernetes => "Kubernetes",
                Name::Known => "known",
                Name::Own => "own",
            };
            let (path, kind, meaning) = (field.path, field.kind.name(), field.meaning);
            table.push_str(&format!("| `{path}` | {kind} | {name} | {meaning} |\n"));
        }
        table
    }

    #[test]
    fn the_table_of_the_manual_has_every_field() {
        const BEGIN: &str = "<!-- fields -->\n";
        const END: &str = "<!-- end of fields -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/search.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (found, after) = rest.split_once(END).unwrap();
        if std::env::var_os("CAPTURE_DOCS").is_some_and(|what| what == "write") {
            let page = format!("{before}{BEGIN}{}{END}{after}", table());
            std::fs::write(path, page).unwrap();
            return;
        }
        assert!(
            found == table(),
            "docs/search.md is not up to date: run CAPTURE_DOCS=write cargo test -p capture-export fields"
        );
    }

    #[test]
    fn the_mapping_is_strict_has_every_field_once_and_fewer_than_300() {
        let mapping = mapping();
        assert_eq!(mapping["dynamic"], "strict");
        for field in FIELDS {
            let pointer = format!("/properties/{}", field.path.replace('.', "/properties/"));
            let found = mapping.pointer(&pointer).map(|found| found["type"].clone());
            assert_eq!(found, Some(field.kind.name().into()), "{}", field.path);
            let same = FIELDS.iter().filter(|other| other.path == field.path);
            assert_eq!(same.count(), 1, "{}", field.path);
        }
        assert!(FIELDS.len() < 300);
    }
}
