//! `capturectl interfaces` and `capturectl node`.

use capture_args::console::plain;
use clap::Args;
use comfy_table::Cell;

use super::{
    Context,
    answers::{Answers, OnNode, ask},
    exit::{Error, Exit},
    output::{self, cell},
    tables,
};
use capture_client::model::{NetworkInterface, Node};

/// List the interfaces that can be captured on.
#[derive(Debug, Args)]
pub(super) struct InterfacesArgs {}

pub(super) async fn interfaces(context: &Context, _: &InterfacesArgs) -> Result<Exit, Error> {
    let options = context.settings.call_options(&context.reason);
    let asked = ask(context, &options, async |client, _| {
        client.interfaces().await
    });
    let Answers { answers, exit } = asked.await.flat();
    let several = context.several_nodes();
    output::print_list(context.format, &answers, exit, || {
        interface_table(&answers, several)
    })?;
    Ok(exit)
}

fn interface_table(interfaces: &[OnNode<NetworkInterface>], several: bool) -> String {
    let columns = [
        "index",
        "interface",
        "state",
        "link type",
        "address",
        "captures",
    ];
    let mut table = tables::begin(several, &columns, &["index"]);
    for OnNode { node, value } in interfaces {
        let mut cells = tables::node_cell(several, node);
        let link_type = value.link_type.map(link_type_name);
        cells.extend([
            Cell::new(value.ifindex),
            cell(&value.name),
            Cell::new(if value.up { "up" } else { "down" }),
            Cell::new(link_type.unwrap_or_else(|| "cannot be captured".to_owned())),
            cell(value.hardware_address.as_deref().unwrap_or("-")),
            cell(&value.captures.join(", ")),
        ]);
        table.add_row(cells);
    }
    output::text(&table)
}

/// The name of a link type (<https://www.tcpdump.org/linktypes.html>), as libpcap shortens it.
pub(super) fn link_type_name(number: u32) -> String {
    match number {
        0 => "NULL".to_owned(),
        1 => "EN10MB".to_owned(),
        101 => "RAW".to_owned(),
        113 => "LINUX_SLL".to_owned(),
        228 => "IPV4".to_owned(),
        229 => "IPV6".to_owned(),
        276 => "LINUX_SLL2".to_owned(),
        other => other.to_string(),
    }
}

/// Show a node's identity, features, limits and usage.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// First set the daemon's log level until it restarts: error, warn, info, debug, trace, or a filter.
    #[arg(long, value_name = "LEVEL")]
    set_log_level: Option<String>,
}

pub(super) async fn node(context: &Context, arguments: &NodeArgs) -> Result<Exit, Error> {
    let options = context.settings.call_options(&context.reason);
    let asked = ask(context, &options, async |client, _| {
        if let Some(level) = &arguments.set_log_level {
            client.set_log_level(level).await?;
        }
        client.node().await
    });
    let Answers { answers, exit } = asked.await;
    output::print(context.format, &answers, || {
        let texts: Vec<_> = answers.iter().map(node_text).collect();
        texts.join("\n")
    })?;
    Ok(exit)
}

fn node_text(answer: &OnNode<Node>) -> String {
    let node = &answer.value;
    let size_of = |used: u64, of: u64| match of {
        0 => tables::size(used),
        of => format!("{} of {}", tables::size(used), tables::size(of)),
    };
    let (usage, limits) = (&node.usage, &node.limits);
    let synchronised = match node.clock.synchronised {
        Some(true) => "synchronised",
        Some(false) => "NOT synchronised",
        None => "not known whether synchronised",
    };
    let error = node
        .clock
        .max_error
        .map_or_else(String::new, |error| format!(", at most {error} off"));
    let since = node
        .start_time
        .map_or_else(|| "unknown".to_owned(), |time| time.seconds());
    let probes = node.features.probes.iter();
    let probes: Vec<_> = probes
        .map(|(name, there)| format!("{name}={}", if *there { "yes" } else { "no" }))
        .collect();
    let free = usage.disk_free_bytes;
    let lines = [
        ("node", format!("{} ({})", node.name, answer.node)),
        ("daemon", format!("captured {} since {since}", node.version)),
        (
            "kernel",
            format!("{} {}", node.kernel_release, node.architecture),
        ),
        ("attached by", node.features.attach_method.clone()),
        ("features", probes.join(" ")),
        (
            "captures",
            format!(
                "{} of {} running, {} of {} known",
                usage.active_captures,
                limits.max_active_captures,
                usage.captures,
                limits.max_captures
            ),
        ),
        ("rings", size_of(usage.ring_bytes, limits.ring_bytes)),
        ("files", size_of(usage.disk_bytes, limits.disk_bytes)),
        (
            "disk free",
            free.map_or_else(|| "unknown".to_owned(), tables::size),
        ),
        (
            "readers",
            format!("{} of {}", usage.packet_readers, limits.max_packet_readers),
        ),
        ("clock", format!("{synchronised}{error}")),
        ("you are", format!("{}, {}", node.caller, node.caller_role)),
        ("log level", node.log_level.clone()),
    ];
    lines
        .into_iter()
        .map(|(name, text)| format!("{:<13}{}\n", format!("{name}:"), plain(&text)))
        .collect()
}
