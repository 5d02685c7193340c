//! Rules for the source files that no compiler or linter checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace;

const GATE: &str = "tests/src/gate.rs";

/// Every Rust file of the checkout with its text, by its path from the top.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![workspace::root().to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(workspace::root()).unwrap().into(), text));
            }
        }
    }
    found
}

/// The places where code, not comments, contains a text.
fn uses(
    sources: &[(PathBuf, String)],
    text: &str,
    is_allowed: impl Fn(&Path) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for (file, source) in sources.iter().filter(|(file, _)| !is_allowed(file)) {
        for (number, line) in source.lines().enumerate() {
            if line.contains(text) && !line.trim_start().starts_with("//") {
                found.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    found
}

#[test]
fn only_the_gate_reports_a_skipped_test_and_asks_for_ci() {
    let sources = sources();
    let is_gate = |file: &Path| file == Path::new(GATE);
    let is_allowed = |file: &Path| is_gate(file) || file.starts_with("xtask");
    for text in ["SKIPPED", "\"CI\""] {
        let elsewhere = uses(&sources, text, is_allowed);
        assert!(
            elsewhere.is_empty(),
            "{text}: use capture_tests::gate in {elsewhere:?}"
        );
        assert!(
            uses(&sources, text, |file| !is_gate(file)).len() == 1,
            "{GATE} lacks {text}"
        );
    }
}

#[test]
fn no_source_file_is_longer_than_five_hundred_lines() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 500)
        .map(|(file, _)| file)
        .collect();
    assert!(long.is_empty(), "split by idea: {long:?}");
}
