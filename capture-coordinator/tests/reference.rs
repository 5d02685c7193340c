//! docs/reference/coordinator.md is what the program says. With CAPTURE_DOCS=write, which `cargo xtask docs` sets, it is
//! written instead of compared.

use std::path::Path;

use anyhow::Result;
use capture_coordinator::{
    metrics::{Current, Metrics},
    settings::Layer,
};
use capture_tests::reference;
use clap::{Args as _, Command};

#[test]
fn the_page_of_the_coordinator_has_its_settings_commands_and_metrics() -> Result<()> {
    let mut body = String::from(
        "[Kubernetes](../kubernetes.md) says how they are used.\n\n## Settings\n\nIn the file of `--config`, TOML, they have \
         these keys. Options and environment take precedence.\n\n",
    );
    body += &reference::settings(&Layer::augment_args(Command::new("settings")));
    let metrics = Metrics::default();
    for is_ok in [true, false] {
        metrics.reconciled(is_ok);
        metrics.acted("start", is_ok);
    }
    metrics.wrote_status();
    body += "\n## Metrics\n\n`/metrics` at `metrics`, in the OpenMetrics text format.\n\n";
    body += &reference::metrics(&metrics.text(Current::default())?, &["result", "link"])?;
    body += "\n";
    let program = Path::new(env!("CARGO_BIN_EXE_capture-coordinator"));
    reference::helps(program, &[], &[], &mut body)?;
    assert!(body.contains("## capture-coordinator delete-all"), "{body}");
    reference::page(
        "coordinator.md",
        "capture-coordinator: settings, metrics, commands and exit statuses",
        &body,
    )
}
