//! Redaction: addresses, names and strings of payload in a report become pseudonyms. With the same key the same
//! text has the same pseudonym in every report, so that reports can still be compared; without the key nobody
//! finds the text.

mod pseudonym;
mod text;

use std::collections::BTreeSet;

use capture_analysis::report::Report;
use serde_json::Value;

use pseudonym::Pseudonyms;
use text::Text;

/// Keys whose strings come from packets or name hosts, wherever they are in a report.
const HIDDEN: [&str; 11] = [
    "address",
    "certificate",
    "client",
    "conflicts",
    "community_id",
    "description",
    "host",
    "server",
    "servers",
    "sni",
    "target",
];

/// Parts of a report whose rows have a name from packets.
const NAMED_ROWS: [&str; 1] = ["dns"];

/// Keys of sentences, in which hidden texts may occur.
const SENTENCES: [&str; 8] = [
    "filter",
    "measured",
    "name",
    "notes",
    "problem",
    "recorder_loss",
    "reset_by",
    "title",
];

/// The report with pseudonyms.
pub(super) fn report(report: &Report, key: &[u8]) -> Result<Report, serde_json::Error> {
    let pseudonyms = Pseudonyms::new(key);
    let mut value = serde_json::to_value(report)?;
    let mut found = BTreeSet::new();
    collect(&value, Place::default(), &mut found);
    let text = Text::new(&pseudonyms, found);
    replace(&mut value, Place::default(), &pseudonyms, &text);
    serde_json::from_value(value)
}

/// Where a value is.
#[derive(Debug, Clone, Copy, Default)]
struct Place<'a> {
    /// The part of the report.
    part: &'a str,
    /// The nearest key.
    key: &'a str,
    /// How many keys above.
    depth: u32,
}

impl<'a> Place<'a> {
    fn below(self, key: &'a str) -> Self {
        Self {
            part: if self.depth == 0 { key } else { self.part },
            key,
            depth: self.depth + 1,
        }
    }

    /// Whether a string here is hidden as a whole.
    fn is_hidden(self) -> bool {
        // The names that the files give addresses: `names` has the addresses as keys.
        (self.part == "names" && self.depth == 2)
            || HIDDEN.contains(&self.key)
            || (self.key == "name" && NAMED_ROWS.contains(&self.part))
    }

    /// Whether a string here may contain hidden texts. The names of the files are the user's own.
    fn is_sentence(self) -> bool {
        SENTENCES.contains(&self.key) && !(self.part == "files" && self.key == "name")
    }
}

fn collect<'v>(value: &'v Value, place: Place<'v>, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if place.is_hidden() => {
            found.insert(text.clone());
        }
        Value::Array(list) => list.iter().for_each(|one| collect(one, place, found)),
        Value::Object(map) => {
            for (key, value) in map {
                collect(value, place.below(key), found);
            }
        }
        _ => {}
    }
}

fn replace(value: &mut Value, place: Place<'_>, pseudonyms: &Pseudonyms, text: &Text<'_>) {
    match value {
        Value::String(string) if place.is_hidden() => *string = pseudonyms.of(string),
        Value::String(string) if place.is_sentence() => *string = text.replaced(string),
        Value::Array(list) => {
            for one in list {
                replace(one, place, pseudonyms, text);
            }
        }
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                replace(value, place.below(key), pseudonyms, text);
            }
            if place.key == "names" && place.depth == 1 {
                let names = std::mem::take(map).into_iter();
                *map = names
                    .map(|(address, name)| (pseudonyms.of(&address), name))
                    .collect();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(key: &str) -> String {
        let made = serde_json::json!({
            "names": { "10.1.2.3": "db.corp.example" },
            "files": [{ "name": "my.pcap", "problem": null }],
            "notes": ["10.1.2.3 and 2001:db8:5::7 were left out"],
            "findings": [{
                "id": "x-1",
                "title": "www.secret.example at 10.1.2.3:443 is slow, as others of secret.example",
                "meaning": "It is slow.",
                "filter": "ip.addr == 10.1.2.3 && dns.qry.name == \"www.secret.example\"",
                "flow": { "name": "10.1.2.3:443", "server": { "address": "10.1.2.3", "port": 443 } },
            }],
            "dns": { "rows": [{ "name": "www.secret.example", "kind": "A" }] },
            "tls": { "rows": [{ "sni": "www.secret.example", "alpn": ["h2"] }] },
            "http": { "rows": [{ "host": "www.secret.example", "target": "/login?user=bob", "method": "GET" }] },
        });
        let pseudonyms = Pseudonyms::new(key.as_bytes());
        let mut value = made;
        let mut found = BTreeSet::new();
        collect(&value, Place::default(), &mut found);
        let text = Text::new(&pseudonyms, found);
        replace(&mut value, Place::default(), &pseudonyms, &text);
        value.to_string()
    }

    #[test]
    fn nothing_of_packets_stays_and_the_rest_does() {
        let text = redacted("key");
        for part in [
            "10.1.2.3",
            "2001:db8:5::7",
            "secret",
            "corp",
            "bob",
            "login",
        ] {
            assert!(!text.contains(part), "{part}: {text}");
        }
        for part in [
            "my.pcap",
            "x-1",
            "It is slow.",
            "ip.addr == ",
            "dns.qry.name == ",
            ":443",
            "h2",
            "GET",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_pseudonym_is_the_same_with_the_same_key_only() {
        assert_eq!(redacted("key"), redacted("key"));
        assert_ne!(redacted("key"), redacted("other"));
    }
}
