//! Names of files for Malcolm, and the tags that it makes of them.
//!
//! Malcolm splits a name at `,`, `-`, `.`, `/` and `_`, and ignores parts that are numbers only or one of a few words.
//! Its upload form removes every character that it does not like. So names consist of letters, digits and `_`, each tag
//! is one part without any of them, and what makes a name unique is a number, which becomes no tag.

use capture_types::{LinkType, time};
use sha2::{Digest as _, Sha256};

use super::Format;
use crate::file::FinishedFile;

/// Parts that Malcolm ignores, in lower case.
const IGNORED: [&str; 11] = [
    "cap",
    "pcap",
    "dmp",
    "log",
    "bro",
    "zeek",
    "suricata",
    "tcpdump",
    "mtcpdump",
    "netsniff",
    "mnetsniff",
];

/// A longer tag is cut: a name has at most 255 bytes.
const LONGEST_TAG: usize = 32;

/// A text as one tag that survives: its letters and digits, with `x` before it if Malcolm would ignore it. `None` if
/// nothing remains.
pub(super) fn tag(text: &str) -> Option<String> {
    let kept: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(LONGEST_TAG)
        .collect();
    if kept.is_empty() {
        return None;
    }
    let is_number = kept.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || IGNORED.contains(&kept.to_ascii_lowercase().as_str()) {
        return Some(format!("x{kept}"));
    }
    Some(kept)
}

/// The name of a file. The same file always has the same name, so that a repeat replaces it.
pub(super) fn of(file: &FinishedFile, tags: &[String], link_type: u16, format: Format) -> String {
    let origin = &file.origin;
    let mut parts: Vec<String> = [
        &origin.cluster,
        &origin.node,
        &origin.namespace,
        &file.capture,
    ]
    .into_iter()
    .chain(tags)
    .filter_map(|text| tag(text))
    .collect();
    parts.push(link_name(link_type));
    let entry = &file.entry;
    if let Some(first) = entry.first.as_ref().or(entry.last.as_ref()) {
        parts.extend(time::stamp(first.nanoseconds).split('-').map(str::to_owned));
    }
    parts.push(format!("{:06}", entry.sequence));
    parts.push(unique(file, link_type));
    format!("{}.{}", parts.join("_"), format.extension())
}

/// The name of a link type, as one tag.
fn link_name(link_type: u16) -> String {
    let known = LinkType::ALL
        .into_iter()
        .find(|known| known.number() == link_type);
    match known {
        Some(LinkType::Ethernet) => "ethernet".to_owned(),
        Some(LinkType::Raw) => "rawip".to_owned(),
        None => format!("linktype{link_type}"),
    }
}

/// A number that distinguishes the file from every other one, whatever its tags lost.
fn unique(file: &FinishedFile, link_type: u16) -> String {
    let mut hash = Sha256::new();
    let entry = &file.entry;
    let first = entry.first.as_ref().map_or(0, |first| first.nanoseconds);
    for text in [
        file.origin.cluster.as_str(),
        &file.origin.node,
        &file.origin.namespace,
        &file.series,
        &entry.sequence.to_string(),
        &first.to_string(),
        &link_type.to_string(),
        // By hand there are no numbers; and the digest tells files of one name apart.
        if entry.sequence == 0 { &entry.file } else { "" },
    ] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let digest = hash.finalize();
    let number = digest[..8]
        .iter()
        .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    format!("{number:020}")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use capture_file::manifest::FileEntry;

    use super::*;
    use crate::file::Origin;

    /// The tags that Malcolm makes of a name, by its rules as its documentation and the pattern in its
    /// `pcap_utils.py` have them.
    fn tags_of_malcolm(name: &str) -> Vec<String> {
        name.split([',', '-', '.', '/', '_'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .filter(|part| !part.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|part| !IGNORED.contains(&part.to_ascii_lowercase().as_str()))
            .map(str::to_owned)
            .collect()
    }

    fn file(node: &str, capture: &str, sequence: u64) -> FinishedFile {
        FinishedFile {
            path: "/x".into(),
            series: format!("{capture}/{capture}"),
            capture: capture.to_owned(),
            entry: FileEntry {
                first: Some(1_700_000_000_000_000_000.into()),
                ..FileEntry::unknown(format!("{capture}-{sequence}"), sequence, 1)
            },
            of: None,
            origin: Arc::new(Origin {
                cluster: "prod".to_owned(),
                node: node.to_owned(),
                namespace: "capture".to_owned(),
            }),
        }
    }

    /// The table of `docs/export.md`: a text, and the tag that it becomes.
    const TABLE: [(&str, Option<&str>); 10] = [
        ("web", Some("web")),
        ("worker-1", Some("worker1")),
        ("web.example", Some("webexample")),
        ("Scada_VLAN10", Some("ScadaVLAN10")),
        ("2023", Some("x2023")),
        ("pcap", Some("xpcap")),
        ("Zeek", Some("xZeek")),
        ("a b,c/d", Some("abcd")),
        ("Büro", Some("xBro")),
        ("…", None),
    ];

    #[test]
    fn tags_survive_malcolms_splitting_as_the_table_says() {
        for (text, expected) in TABLE {
            assert_eq!(tag(text).as_deref(), expected, "{text}");
            if let Some(tag) = tag(text) {
                let name = format!("{tag}_20231114_000001.pcap");
                assert_eq!(tags_of_malcolm(&name), [tag], "{text}");
            }
        }
    }

    #[test]
    fn the_table_in_the_manual_is_the_one_that_is_tested() {
        let manual = include_str!("../../../docs/export.md");
        for (text, expected) in TABLE {
            let expected = expected.map_or_else(|| "none".to_owned(), |tag| format!("`{tag}`"));
            let row = format!("| `{text}` | {expected} |");
            assert!(manual.contains(&row), "docs/export.md lacks {row}");
        }
    }

    #[test]
    fn a_name_consists_of_letters_digits_and_underscores_and_is_unique() {
        let mut names = BTreeSet::new();
        let long = "x".repeat(300);
        for node in ["n1", "n-1", "n_1", "", "../..", "ü", &long] {
            for capture in ["web", "we-b", "pcap", &long] {
                for sequence in [1, 2] {
                    for link_type in [1, 101, 147] {
                        let file = file(node, capture, sequence);
                        let extra = vec!["team-a".to_owned()];
                        let name = of(&file, &extra, link_type, Format::Pcap);
                        let stem = name.strip_suffix(".pcap").unwrap();
                        assert!(stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
                        assert!(name.len() <= 255, "{}", name.len());
                        assert!(tags_of_malcolm(&name).contains(&"teama".to_owned()));
                        assert_eq!(name, of(&file, &extra, link_type, Format::Pcap));
                        assert!(names.insert(name));
                    }
                }
            }
        }
        let name = of(&file("worker-1", "web", 7), &[], 1, Format::Pcap);
        assert_eq!(
            tags_of_malcolm(&name),
            ["prod", "worker1", "capture", "web", "ethernet"],
            "and nothing that differs between files: {name}"
        );
    }
}
