//! `captured -D`: the interfaces that can be recorded.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use capture_args::console::plain;
use capture_session::interfaces::{Interface, Watch};

/// Lists them as tcpdump does: number, name and, in brackets, properties of each.
pub(super) async fn list() -> anyhow::Result<ExitCode> {
    let watch = Watch::new().context("listing the interfaces")?;
    let mut interfaces = watch.list().await.context("listing the interfaces")?;
    interfaces.sort_by_key(|interface| interface.ifindex);
    let mut out = std::io::stdout().lock();
    for (number, interface) in (1..).zip(&interfaces) {
        writeln!(out, "{number}.{}", line(interface))?;
    }
    writeln!(
        out,
        "{}.any (every interface, also those that appear later)",
        interfaces.len() + 1
    )?;
    Ok(ExitCode::SUCCESS)
}

fn line(interface: &Interface) -> String {
    let mut words = vec![if interface.up { "Up" } else { "Down" }.to_owned()];
    if interface.is_loopback() {
        words.push("Loopback".to_owned());
    }
    words.extend(interface.kind.clone());
    if interface.link_type().is_none() {
        words.push("cannot be recorded: its packets are neither Ethernet nor IP".to_owned());
    }
    let alias = interface.alias.as_ref();
    let alias = alias.map_or_else(String::new, |alias| format!(" ({alias})"));
    plain(&format!("{}{alias} [{}]", interface.name, words.join(", ")))
}
