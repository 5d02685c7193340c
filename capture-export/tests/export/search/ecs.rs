//! Names of the Elastic Common Schema that concern network traffic, version 8.11, by their sets. They are written
//! down here so that a name of ours that only looks like one of the schema is found.

use capture_export::documents::{FIELDS, Name};

/// A set, and its fields.
type Set = (&'static str, &'static [&'static str]);

#[rustfmt::skip]
const SETS: &[Set] = &[
    ("", &["@timestamp", "labels", "message", "tags"]),
    ("agent", &["build.original", "ephemeral_id", "id", "name", "type", "version"]),
    ("client", &["address", "bytes", "domain", "ip", "mac", "nat.ip", "nat.port", "packets", "port", "registered_domain", "subdomain", "top_level_domain"]),
    ("container", &["cpu.usage", "id", "image.hash.all", "image.name", "image.tag", "labels", "name", "runtime", "security_context.privileged"]),
    ("data_stream", &["dataset", "namespace", "type"]),
    ("destination", &["address", "bytes", "domain", "ip", "mac", "nat.ip", "nat.port", "packets", "port", "registered_domain", "subdomain", "top_level_domain"]),
    ("dns", &["answers", "answers.class", "answers.data", "answers.name", "answers.ttl", "answers.type", "header_flags", "id", "op_code", "question.class", "question.name", "question.registered_domain", "question.subdomain", "question.top_level_domain", "question.type", "resolved_ip", "response_code", "type"]),
    ("ecs", &["version"]),
    ("error", &["code", "id", "message", "stack_trace", "type"]),
    ("event", &["action", "agent_id_status", "category", "code", "created", "dataset", "duration", "end", "hash", "id", "ingested", "kind", "module", "original", "outcome", "provider", "reason", "reference", "risk_score", "risk_score_norm", "sequence", "severity", "start", "timezone", "type", "url"]),
    ("host", &["architecture", "domain", "hostname", "id", "ip", "mac", "name", "type", "uptime"]),
    ("http", &["request.body.bytes", "request.body.content", "request.bytes", "request.id", "request.method", "request.mime_type", "request.referrer", "response.body.bytes", "response.body.content", "response.bytes", "response.mime_type", "response.status_code", "version"]),
    ("log", &["file.path", "level", "logger", "origin.file.line", "origin.file.name", "origin.function", "syslog"]),
    ("network", &["application", "bytes", "community_id", "direction", "forwarded_ip", "iana_number", "inner", "name", "packets", "protocol", "transport", "type", "vlan.id", "vlan.name"]),
    ("observer", &["egress.interface.alias", "egress.interface.id", "egress.interface.name", "egress.vlan.id", "egress.vlan.name", "egress.zone", "hostname", "ingress.interface.alias", "ingress.interface.id", "ingress.interface.name", "ingress.vlan.id", "ingress.vlan.name", "ingress.zone", "ip", "mac", "name", "product", "serial_number", "type", "vendor", "version"]),
    ("orchestrator", &["api_version", "cluster.id", "cluster.name", "cluster.url", "cluster.version", "namespace", "organization", "resource.annotation", "resource.id", "resource.ip", "resource.label", "resource.name", "resource.parent.type", "resource.type", "type"]),
    ("related", &["hash", "hosts", "ip", "user"]),
    ("rule", &["author", "category", "description", "id", "license", "name", "reference", "ruleset", "uuid", "version"]),
    ("server", &["address", "bytes", "domain", "ip", "mac", "nat.ip", "nat.port", "packets", "port", "registered_domain", "subdomain", "top_level_domain"]),
    ("service", &["address", "id", "name", "node.name", "type", "version"]),
    ("source", &["address", "bytes", "domain", "ip", "mac", "nat.ip", "nat.port", "packets", "port", "registered_domain", "subdomain", "top_level_domain"]),
    ("tls", &["cipher", "client.certificate", "client.certificate_chain", "client.hash.md5", "client.hash.sha1", "client.hash.sha256", "client.issuer", "client.ja3", "client.not_after", "client.not_before", "client.server_name", "client.subject", "client.supported_ciphers", "curve", "established", "next_protocol", "resumed", "server.certificate", "server.certificate_chain", "server.hash.md5", "server.hash.sha1", "server.hash.sha256", "server.issuer", "server.ja3s", "server.not_after", "server.not_before", "server.subject", "version", "version_protocol"]),
    ("url", &["domain", "extension", "fragment", "full", "original", "password", "path", "port", "query", "registered_domain", "scheme", "subdomain", "top_level_domain", "username"]),
];

fn is_known(path: &str) -> bool {
    SETS.iter().any(|(set, fields)| {
        let rest = match *set {
            "" => Some(path),
            set => path
                .strip_prefix(set)
                .and_then(|rest| rest.strip_prefix('.')),
        };
        rest.is_some_and(|rest| fields.contains(&rest))
    })
}

#[test]
fn every_field_is_one_of_the_common_schema_or_marked_as_another() {
    for field in FIELDS {
        let is_ecs = field.name == Name::Ecs;
        assert_eq!(is_known(field.path), is_ecs, "{}", field.path);
        if !is_ecs {
            // Our own sets have names that the schema does not use.
            let set = field.path.split('.').next().unwrap();
            let of_schema = SETS.iter().any(|(known, _)| *known == set);
            assert!(!of_schema, "{} is ours in a set of the schema", field.path);
        }
    }
}
