//! What is generated from the program: `docs/openapi.v1.json` and `docs/reference/web.md`. With CAPTURE_DOCS=write,
//! which `cargo xtask docs` sets, they are written instead of compared.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::Result;
use capture_web::{api::openapi::OPERATIONS, settings::ALL};

fn says(arguments: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_capture-web"))
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "100")
        .output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

fn compare(file: &str, text: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(file);
    if std::env::var_os("CAPTURE_DOCS").is_some_and(|what| what == "write") {
        fs::write(&path, text)?;
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "docs/{file} differs from what the program says: run `cargo xtask docs` and commit the result"
    );
    Ok(())
}

#[test]
fn the_openapi_document_is_what_the_program_prints() -> Result<()> {
    compare("openapi.v1.json", &says(&["openapi"])?)
}

#[test]
fn no_operation_is_described_twice() {
    let mut seen = BTreeSet::new();
    for operation in OPERATIONS {
        let named = (operation.method, operation.path);
        assert!(seen.insert(named), "{named:?}");
    }
}

#[test]
fn the_page_of_the_web_server_has_its_commands_and_settings() -> Result<()> {
    let mut text = String::from(
        "<!-- Written by `cargo xtask docs` from what the programs say. -->\n\n\
         # capture-web: commands and settings\n\n\
         [The web page](../web.md) says how they are used.\n\n\
         ## Settings\n\n\
         `capture-web config defaults` prints them as a configuration file to start from.\n\n\
         | key | environment | flag | default | meaning |\n|---|---|---|---|---|\n",
    );
    for setting in ALL {
        let meaning: Vec<_> = setting.meaning.iter().map(|line| line.trim()).collect();
        let meaning = meaning.join(" ").replace('|', "\\|");
        let default = match setting.default {
            "" => String::new(),
            default => format!(" `{default}`"),
        };
        text += &format!(
            "| `{}` | `{}` | `--{}` |{default} | {} |\n",
            setting.name,
            setting.variable,
            setting.name.replace('_', "-"),
            meaning.trim_end_matches('.'),
        );
    }
    for command in ["account", "token", "config", "openapi"] {
        let help = says(&[command, "--help"])?;
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        text += &format!(
            "\n## capture-web {command}\n\n```text\n{}\n```\n",
            lines.join("\n").trim_end()
        );
    }
    compare("reference/web.md", &text)
}
