//! Names of objects, from a template. A name from outside never leaves its place in it.

use capture_types::time;
use sha2::{Digest as _, Sha256};

use crate::file::FinishedFile;

/// The template if none is set.
pub(super) const DEFAULT: &str = "{cluster}/{node}/{namespace}/{capture}/{date}/{file}";

const VARIABLES: [&str; 6] = ["cluster", "node", "namespace", "capture", "date", "file"];

/// A longer part is shortened: file systems take 255 bytes, and `.manifest.json` is appended to the last part.
const LONGEST_PART: usize = 200;

/// A template, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    prefix: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(&'static str),
}

impl Template {
    /// Parses a template. `prefix`: what precedes every name, without a slash at its end; may be empty.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(prefix: &str, text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (plain, after) = rest.split_once('{').unwrap_or((rest, ""));
            if !plain.chars().all(|c| is_safe(c) || c == '/' || c == '=') {
                return Err(format!(
                    "{plain:?} contains a character other than a-z, A-Z, 0-9 and \"-_.=/\""
                ));
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(plain.to_owned()));
            }
            if after.is_empty() && plain.len() == rest.len() {
                break;
            }
            let Some((name, after)) = after.split_once('}') else {
                return Err("a { has no }".to_owned());
            };
            let Some(variable) = VARIABLES.iter().find(|variable| **variable == name) else {
                return Err(format!(
                    "{{{name}}} is unknown; use {{{}}}",
                    VARIABLES.join("}, {")
                ));
            };
            pieces.push(Piece::Variable(variable));
            rest = after;
        }
        if pieces.last() != Some(&Piece::Variable("file")) {
            return Err("it must end in {file}".to_owned());
        }
        if !prefix.chars().all(|c| is_safe(c) || c == '/' || c == '=') {
            return Err(format!(
                "the prefix {prefix:?} contains a character other than a-z, A-Z, 0-9 and \"-_.=/\""
            ));
        }
        let whole = format!("{prefix}/{text}");
        let parts = whole.trim_start_matches('/').split('/');
        if parts
            .into_iter()
            .any(|part| part.is_empty() || part == "." || part == "..")
        {
            return Err("a part between two slashes is empty, \".\" or \"..\"".to_owned());
        }
        Ok(Self {
            prefix: prefix.trim_matches('/').to_owned(),
            pieces,
        })
    }

    /// The name of a file's object.
    pub(super) fn key(&self, file: &FinishedFile) -> String {
        let mut key = self.prefix.clone();
        if !key.is_empty() {
            key.push('/');
        }
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Variable(name) => key.push_str(&value(name, file)),
            }
        }
        key
    }
}

fn value(name: &str, file: &FinishedFile) -> String {
    match name {
        "cluster" => segment(&file.origin.cluster),
        "node" => segment(&file.origin.node),
        "namespace" => segment(&file.origin.namespace),
        "capture" => segment(&file.capture),
        "date" => date(file),
        _ => segment(&file.entry.file),
    }
}

/// The day of the first packet, `YYYY-MM-DD` in UTC.
fn date(file: &FinishedFile) -> String {
    let entry = &file.entry;
    match entry.first.as_ref().or(entry.last.as_ref()) {
        Some(first) => time::rfc3339(first.nanoseconds).chars().take(10).collect(),
        None => "unknown-date".to_owned(),
    }
}

const fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// A name as one part of an object's name: every byte other than a-z, A-Z, 0-9 and `-_.` becomes `=XX`. So
/// different names stay different, unless they are very long.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if is_safe(c) {
            text.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                text.push_str(&format!("={byte:02X}"));
            }
        }
    }
    if text.is_empty() {
        return "=".to_owned();
    }
    if text.chars().all(|c| c == '.') {
        return text.replace('.', "=2E");
    }
    if text.len() > LONGEST_PART {
        let digest = capture_file::hex(&Sha256::digest(name.as_bytes()));
        text.truncate(LONGEST_PART - 17);
        text.push('=');
        text.push_str(&digest[..16]);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use capture_file::manifest::FileEntry;

    use super::*;
    use crate::file::Origin;

    fn file(capture: &str, node: &str, name: &str) -> FinishedFile {
        FinishedFile {
            path: "/x".into(),
            series: capture.to_owned(),
            capture: capture.to_owned(),
            entry: FileEntry {
                first: Some(1_700_000_000_000_000_000.into()),
                ..FileEntry::unknown(name.to_owned(), 1, 1)
            },
            of: None,
            origin: Arc::new(Origin {
                cluster: "c".to_owned(),
                node: node.to_owned(),
                namespace: String::new(),
            }),
        }
    }

    #[test]
    fn a_name_is_made_from_the_template() {
        let template = Template::parse("p/q", DEFAULT).unwrap();
        let key = template.key(&file("web", "n1", "web-1.pcapng"));
        assert_eq!(key, "p/q/c/n1/=/web/2023-11-14/web-1.pcapng");
        let template = Template::parse("", "date={date}/x-{file}").unwrap();
        let key = template.key(&file("web", "n1", "a"));
        assert_eq!(key, "date=2023-11-14/x-a");
    }

    #[test]
    fn names_from_outside_never_leave_their_place() {
        let template = Template::parse("p", "{node}/{capture}/{file}").unwrap();
        let long = "é".repeat(300);
        let hostile = [
            "..",
            ".",
            "",
            "../../etc",
            "/etc",
            "a/b",
            "a\\b",
            "a\0b",
            "a\nb",
            "%2e%2e",
            "a?b#c",
            &long,
        ];
        let mut keys = BTreeSet::new();
        for name in hostile {
            let key = template.key(&file(name, name, name));
            assert_eq!(key.split('/').count(), 4, "{name:?}: {key}");
            assert!(
                key.split('/')
                    .all(|part| !part.is_empty() && part.len() <= 200)
            );
            assert!(key.split('/').all(|part| part != "." && part != ".."));
            assert!(key.chars().all(|c| is_safe(c) || c == '/' || c == '='));
            assert_eq!(object_store::path::Path::from(key.as_str()).as_ref(), key);
            assert!(keys.insert(key), "{name:?} has the name of another");
        }
    }

    #[test]
    fn a_template_that_cannot_work_is_rejected_with_the_reason() {
        for (text, reason) in [
            ("{file}/x", "end in {file}"),
            ("{nod}/{file}", "{nod} is unknown"),
            ("{node/{file}", "is unknown"),
            ("{file", "has no }"),
            ("a//{file}", "between two slashes"),
            ("../{file}", "between two slashes"),
            ("a b/{file}", "other than"),
        ] {
            let error = Template::parse("", text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(Template::parse("a b", DEFAULT).is_err());
        assert!(Template::parse("a//b", DEFAULT).is_err());
    }
}
