//! What the documents say about the code, held against the code.

use std::collections::BTreeSet;

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

/// Dependencies from elsewhere, by the names in the workspace's table.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    section(manifest, "[workspace.dependencies]", "[")
        .filter(|line| !line.starts_with('#') && !line.contains("path = "))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect()
}

/// Dependencies that have a reason in the README's table. `flate2 (zlib-rs)` is flate2.
fn explained(readme: &str) -> BTreeSet<&str> {
    section(readme, "## Dependencies", "## ")
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter(|(crates, reason)| *crates != "crate" && !reason.trim_end_matches(" |").is_empty())
        .flat_map(|(crates, _)| crates.split(", "))
        .filter_map(|name| name.split(' ').next())
        .collect()
}

#[test]
fn the_readme_says_of_each_dependency_why_it_is_there_and_of_no_other() {
    let (manifest, readme) = (read("Cargo.toml"), read("README.md"));
    let (there, explained) = (dependencies(&manifest), explained(&readme));
    assert!(
        there.contains("aya") && !there.contains("capture-common"),
        "{there:?}"
    );
    let unexplained: Vec<_> = there.difference(&explained).collect();
    assert!(
        unexplained.is_empty(),
        "missing in README.md's table: {unexplained:?}"
    );
    let gone: Vec<_> = explained.difference(&there).collect();
    assert!(
        gone.is_empty(),
        "in README.md's table, not in Cargo.toml: {gone:?}"
    );
}

#[test]
fn every_link_from_one_document_to_another_leads_somewhere() {
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ] {
        let text = read(document);
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let exists = target.starts_with("https://") || workspace::root().join(target).exists();
            assert!(exists, "{document} links to {target}, which is not there");
        }
    }
}
