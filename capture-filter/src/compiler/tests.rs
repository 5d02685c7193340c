use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use super::Compiler;
use crate::FilterError;
use capture_types::FilterSpec;

/// A compiler whose process is a shell script.
fn scripted(directory: &Path, script: &str) -> Compiler {
    let path = directory.join("compiler");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Compiler::with_program(path, false)
}

fn tcp() -> FilterSpec {
    FilterSpec::expression("tcp")
}

#[test]
fn a_process_that_does_not_answer_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", mark.display());
    let mut compiler = scripted(directory.path(), &script);
    compiler.longest = Duration::from_secs(2);
    assert_eq!(compiler.compile(&tcp()).unwrap_err(), FilterError::TooSlow);
    let process = fs::read_to_string(mark).unwrap();
    assert!(!Path::new("/proc").join(process.trim()).exists());
}

#[test]
fn a_process_that_dies_or_babbles_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    for (script, expected) in [
        ("kill -XCPU $$", FilterError::TooSlow),
        ("kill -SEGV $$", FilterError::TooMuchMemory),
    ] {
        let compiler = scripted(directory.path(), script);
        assert_eq!(compiler.compile(&tcp()).unwrap_err(), expected, "{script}");
    }
    for script in ["exit 3", "echo nonsense", "yes | head -c 10000000"] {
        let compiler = scripted(directory.path(), script);
        let error = compiler.compile(&tcp()).unwrap_err().to_string();
        assert!(error.starts_with("the filter compiler failed"), "{error}");
    }
    let compiler = Compiler::with_program(directory.path().join("missing"), false);
    let error = compiler.compile(&tcp()).unwrap_err().to_string();
    // Under qemu in user mode the process starts, and ends with 127.
    let said = ["No such file", "exit status: 127"];
    assert!(said.iter().any(|said| error.contains(said)), "{error}");
}

#[test]
fn a_filter_is_compiled_once_and_remembered() {
    let compiler = Compiler::in_this_process();
    assert!(!compiler.remembers(&tcp()));
    compiler.compile(&tcp()).unwrap();
    assert!(compiler.remembers(&tcp()));
    for port in 1..=40 {
        let spec = FilterSpec::expression(&format!("port {port}"));
        compiler.compile(&spec).unwrap();
    }
    assert!(!compiler.remembers(&tcp()), "it remembers without bound");
}
