//! The rules for the requests that are used, from the published documentation of the bulk API, of index templates
//! and of the policies: every request that goes through the proxy is checked against them.

use std::{collections::BTreeSet, io::Read as _};

use capture_export::documents::{FIELDS, Type};
use flate2::read::GzDecoder;
use serde_json::Value;

/// A request as it was sent.
pub(crate) struct Sent<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) content_encoding: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

struct Endpoint {
    method: &'static str,
    /// `*` is one name.
    path: &'static str,
    query: &'static [&'static str],
    body: Content,
}

#[derive(Clone, Copy, PartialEq)]
enum Content {
    None,
    Object,
    ObjectOrNone,
    Lines,
}

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    Endpoint { method: "GET", path: "/", query: &[], body: Content::None },
    Endpoint { method: "HEAD", path: "/*", query: &[], body: Content::None },
    Endpoint { method: "PUT", path: "/*", query: &[], body: Content::Object },
    Endpoint { method: "POST", path: "/*/_bulk", query: &["filter_path"], body: Content::Lines },
    Endpoint { method: "GET", path: "/_alias/*", query: &[], body: Content::None },
    Endpoint { method: "PUT", path: "/_index_template/*", query: &[], body: Content::Object },
    Endpoint { method: "PUT", path: "/_data_stream/*", query: &[], body: Content::ObjectOrNone },
    Endpoint { method: "GET", path: "/_ilm/policy/*", query: &[], body: Content::None },
    Endpoint { method: "PUT", path: "/_ilm/policy/*", query: &[], body: Content::Object },
    Endpoint { method: "GET", path: "/_plugins/_ism/policies/*", query: &[], body: Content::None },
    Endpoint { method: "PUT", path: "/_plugins/_ism/policies/*", query: &[], body: Content::Object },
];

impl Endpoint {
    fn is_at(&self, path: &str) -> bool {
        let (mut pattern, mut parts) = (self.path.split('/'), path.split('/'));
        loop {
            match (pattern.next(), parts.next()) {
                (None, None) => return true,
                (Some("*"), Some(part)) if !part.is_empty() && !part.starts_with('_') => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }
}

/// What is wrong with a request.
pub(crate) fn check(sent: &Sent<'_>) -> Result<(), String> {
    let Sent { method, path, .. } = sent;
    let endpoint = ENDPOINTS
        .iter()
        .find(|endpoint| endpoint.method == *method && endpoint.is_at(path))
        .ok_or_else(|| format!("{method} {path} is no endpoint that is used"))?;
    for parameter in sent.query.split('&').filter(|one| !one.is_empty()) {
        let name = parameter.split('=').next().unwrap_or_default();
        if !endpoint.query.contains(&name) {
            return Err(format!("{method} {path} has no parameter {name}"));
        }
    }
    let object = || match serde_json::from_slice::<Value>(sent.body) {
        Ok(Value::Object(_)) if sent.content_type == Some("application/json") => Ok(()),
        _ => Err(format!("{method} {path}: the body is no JSON object")),
    };
    match endpoint.body {
        Content::None if sent.body.is_empty() => Ok(()),
        Content::None => Err(format!("{method} {path} takes no body")),
        Content::ObjectOrNone if sent.body.is_empty() => Ok(()),
        Content::Object | Content::ObjectOrNone => object(),
        Content::Lines => bulk(sent),
    }
}

/// The text of a bulk request.
pub(crate) fn unpacked(body: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(body).read_to_string(&mut text).unwrap();
    text
}

fn bulk(sent: &Sent<'_>) -> Result<(), String> {
    if sent.content_type != Some("application/x-ndjson") || sent.content_encoding != Some("gzip") {
        return Err("a bulk request is application/x-ndjson, compressed with gzip".to_owned());
    }
    let text = unpacked(sent.body);
    // It changes nothing, and asks whether the cluster answers.
    if text == "{\"update\":{\"_id\":\"capture-export-no-such-document\"}}\n{\"doc\":{}}\n" {
        return Ok(());
    }
    let lines: Vec<&str> = text.lines().collect();
    if !text.ends_with('\n') || lines.is_empty() || !lines.len().is_multiple_of(2) {
        return Err(format!("a bulk request has {} lines", lines.len()));
    }
    for (at, pair) in lines.chunks(2).enumerate() {
        action(pair[0])?;
        // Documents of a request are alike: most are looked at in small requests, and a sample in large ones.
        if at < 20 || at % 50 == 0 {
            document(pair[1])?;
        }
    }
    Ok(())
}

/// An action is to create a document with an id, which has at most 512 bytes.
fn action(line: &str) -> Result<(), String> {
    let id = line
        .strip_prefix("{\"create\":{\"_id\":\"")
        .and_then(|rest| rest.strip_suffix("\"}}"));
    match id {
        Some(id) if (1..=512).contains(&id.len()) && !id.contains(['"', '\\']) => Ok(()),
        _ => Err(format!("{line} is no action")),
    }
}

/// A document has a time, and only fields of the mapping, each of its type.
pub(crate) fn document(text: &str) -> Result<(), String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !document["@timestamp"].is_string() {
        return Err(format!("{text} has no time"));
    }
    let mut fields = BTreeSet::new();
    flat("", &document, &mut fields)?;
    Ok(())
}

/// The fields of a document, with dots between levels.
pub(crate) fn flat(path: &str, value: &Value, into: &mut BTreeSet<String>) -> Result<(), String> {
    if let Value::Object(members) = value {
        return members.iter().try_for_each(|(key, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            flat(&format!("{path}{dot}{key}"), value, into)
        });
    }
    let field = FIELDS.iter().find(|field| field.path == path);
    let field = field.ok_or_else(|| format!("{path} is not in the mapping"))?;
    let values = match value {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    for value in values {
        let fits = match field.kind {
            Type::Keyword | Type::Text => value.is_string(),
            Type::Ip => value
                .as_str()
                .is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
            // Signed, with 64 bits.
            Type::Long => value.as_i64().is_some(),
            Type::Boolean => value.is_boolean(),
            Type::Time => value.as_str().is_some_and(|text| text.ends_with('Z')),
        };
        if !fits {
            return Err(format!("{path}: {value} is no {}", field.kind.name()));
        }
    }
    into.insert(path.to_owned());
    Ok(())
}
