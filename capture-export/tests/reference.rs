//! docs/reference/export.md is what the program says. With CAPTURE_DOCS=write, which `cargo xtask docs` sets, it is
//! written instead of compared.

use std::path::Path;

use anyhow::{Context as _, Result};
use capture_export::{
    malcolm::MalcolmSettings,
    metrics::{Attempt, Backlog, Metrics},
    search::SearchSettings,
    settings::Layer,
    store::StoreSettings,
};
use capture_tests::reference;
use clap::{Args as _, Command};

/// Keys that no command has as an option.
const ONLY_IN_FILES: [(&str, &str); 2] = [
    (
        "captures",
        "The captures whose files it gets besides those of captures that name it: `all` that name no sink, which is the default, or \
         only the `named` ones",
    ),
    ("tags", "Tags of objects, where the store has them: a table"),
];

/// The keys that a sink of a kind takes, as the error about another one lists them.
fn keys(kind: &str) -> Result<Vec<String>> {
    let text = format!("[sink.a]\ntype = '{kind}'\nurl = 'file:///x'\nnone-of-them = 1");
    // A search cluster has several URLs.
    let text = match kind {
        "search" => text.replace("url = 'file:///x'\n", ""),
        _ => text,
    };
    let error = toml::from_str::<Layer>(&text).err().context("was taken")?;
    let error = error.to_string();
    let (_, list) = error
        .split_once("`none-of-them`, expected one of ")
        .with_context(|| error.clone())?;
    let list = list.lines().next().unwrap_or_default();
    let names = list.split(',').map(|name| name.trim().trim_matches('`'));
    Ok(names.map(str::to_owned).collect())
}

fn metrics() -> Result<String> {
    let metrics = Metrics::default();
    for attempt in [
        Attempt::Delivered,
        Attempt::Retried,
        Attempt::Rejected,
        Attempt::Gone,
    ] {
        metrics.attempted("archive", attempt);
    }
    metrics.delivered("archive", 1, 1, 1);
    metrics.set_up("archive", true);
    metrics.set_backlog("archive", Backlog::default());
    let named = ["result", "outcome", "protocol", "status"];
    reference::metrics(&metrics.text()?, &named)
}

#[test]
fn the_page_of_the_exporter_has_its_settings_sinks_metrics_and_commands() -> Result<()> {
    let mut body = String::from(
        "[Export](../export.md) and [search](../search.md) say how they are used.\n\n## Settings\n\nIn the file of \
         `--config`, TOML, they have these keys. Options and environment take precedence.\n\n",
    );
    body += &reference::settings(&Layer::augment_args(Command::new("settings")));
    body +=
        "\nEach sink is a table `[sink.NAME]` of the file; its `type` says which keys it has.\n";
    for (kind, command) in [
        ("store", StoreSettings::augment_args(Command::new("store"))),
        (
            "malcolm",
            MalcolmSettings::augment_args(Command::new("malcolm")),
        ),
        (
            "search",
            SearchSettings::augment_args(Command::new("search")),
        ),
    ] {
        body += &format!("\n### type = \"{kind}\"\n\n");
        body += &reference::keys(&command, &keys(kind)?, &ONLY_IN_FILES)?;
    }
    body += "\n## Metrics\n\n`/metrics` at `metrics`, in the OpenMetrics text format. Those that begin with `pcap_` and the \
             documents are those of search clusters, all sinks together.\n\n";
    body += &metrics()?;
    body += "\n";
    let program = Path::new(env!("CARGO_BIN_EXE_capture-export"));
    let mut commands = String::new();
    reference::helps(program, &[], &[], &mut commands)?;
    // They are in the table, and go with every command.
    body += &reference::without(&commands, "Settings:");
    assert!(body.contains("## capture-export search setup"), "{body}");
    reference::page(
        "export.md",
        "capture-export: settings, metrics, commands and exit statuses",
        &body,
    )
}
