//! `capturectl export` and `pull --from` become the program `capture-export`.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

/// A copy of capturectl in a directory of its own, where the test decides what is beside it.
fn capturectl(directory: &Path, words: &[&str]) -> Output {
    let copy = directory.join("capturectl");
    if !copy.exists() {
        fs::copy(env!("CARGO_BIN_EXE_capturectl"), &copy).unwrap();
    }
    Command::new(copy).args(words).env_clear().output().unwrap()
}

#[test]
fn the_program_that_is_missing_is_named_and_one_beside_it_gets_the_arguments_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let words = [
        "export",
        "store",
        "s3://bucket",
        "--key",
        "{file}",
        "-f",
        "a b",
    ];
    let output = capturectl(directory.path(), &words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains("capture-export") && error.contains("PATH"),
        "{error}"
    );

    let program = directory.path().join("capture-export");
    fs::write(&program, "#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 6\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = capturectl(directory.path(), &words);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said,
        "<deliver><store><s3://bucket><--key><{file}><-f><a b>"
    );
    assert_eq!(
        output.status.code(),
        Some(6),
        "its exit status is that of the command"
    );

    let words = ["pull", "web", "--from", "s3://bucket/x", "-w", "out.pcapng"];
    let output = capturectl(directory.path(), &words);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "<pull><--write><out.pcapng><--><s3://bucket/x><web>");
}
