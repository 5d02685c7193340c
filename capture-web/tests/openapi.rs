//! `docs/openapi.v1.json` is what the program says.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use capture_web::api::openapi::OPERATIONS;

#[test]
fn the_openapi_document_is_what_the_program_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_capture-web"))
        .arg("openapi")
        .output()
        .unwrap();
    assert!(output.status.success());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.v1.json");
    if std::env::var_os("CAPTURE_DOCS").is_some_and(|what| what == "write") {
        fs::write(&path, &output.stdout).unwrap();
    }
    let there = fs::read(&path).unwrap_or_default();
    assert!(
        there == output.stdout,
        "docs/openapi.v1.json differs from what the program prints: run `cargo xtask docs`"
    );
}

#[test]
fn no_operation_is_described_twice() {
    let mut seen = BTreeSet::new();
    for operation in OPERATIONS {
        let named = (operation.method, operation.path);
        assert!(seen.insert(named), "{named:?}");
    }
}
