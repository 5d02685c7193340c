//! Checks statements of the documents against the code.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::workspace;

fn read(file: &str) -> String {
    std::fs::read_to_string(workspace::root().join(file)).unwrap()
}

/// The lines under a heading, up to the next one that begins the same way.
fn section<'a>(text: &'a str, heading: &str, next: &'a str) -> impl Iterator<Item = &'a str> {
    let start = text.find(&format!("{heading}\n")).unwrap() + heading.len();
    text[start..]
        .lines()
        .skip(1)
        .take_while(move |line| !line.starts_with(next))
}

/// External dependencies, by their names in the workspace's table.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    section(manifest, "[workspace.dependencies]", "[")
        .filter(|line| !line.starts_with('#') && !line.contains("path = "))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect()
}

/// Dependencies with a reason in the table of docs/dependencies.md. `flate2 (zlib-rs)` is flate2.
fn explained(document: &str) -> BTreeSet<&str> {
    section(document, "# Dependencies", "#")
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter(|(crates, reason)| *crates != "crate" && !reason.trim_end_matches(" |").is_empty())
        .flat_map(|(crates, _)| crates.split(", "))
        .filter_map(|name| name.split(' ').next())
        .collect()
}

#[test]
fn the_manual_says_of_each_dependency_why_it_is_there_and_of_no_other() {
    let (manifest, document) = (read("Cargo.toml"), read("docs/dependencies.md"));
    let (there, explained) = (dependencies(&manifest), explained(&document));
    assert!(
        there.contains("aya") && !there.contains("capture-common"),
        "{there:?}"
    );
    let unexplained: Vec<_> = there.difference(&explained).collect();
    assert!(
        unexplained.is_empty(),
        "missing in docs/dependencies.md: {unexplained:?}"
    );
    let gone: Vec<_> = explained.difference(&there).collect();
    assert!(
        gone.is_empty(),
        "in docs/dependencies.md, not in Cargo.toml: {gone:?}"
    );
}

/// Every document of the repository, by its path from the root.
fn documents() -> Vec<PathBuf> {
    let root = workspace::root();
    let mut documents = Vec::new();
    for directory in ["", "docs", "docs/reference"] {
        let Ok(entries) = std::fs::read_dir(root.join(directory)) else {
            continue;
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        documents.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    documents
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            heading
                .replace(' ', "-")
                .replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "")
        })
        .collect()
}

#[test]
fn every_link_from_one_document_to_another_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 10, "{documents:?}");
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1);
        for link in links.filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let place = document.display();
            assert!(
                target.exists(),
                "{place} links to {link}, which does not exist"
            );
            let found = anchor.is_empty()
                || anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor);
            assert!(found, "{place} links to {link}, which has no such heading");
        }
    }
}
