//! `kubectl capture tail`.

use clap::Args;

use super::{
    Cluster,
    coordinator::connect,
    follow::{FollowArgs, follow},
};
use crate::cli::exit::{Error, Exit};

/// Show a running capture's packets as they come, from every node, until it ends or Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// Name of the PacketCaptureConfig.
    name: String,
    /// Only packets that match this expression, too.
    #[arg(
        short,
        long,
        value_name = "EXPRESSION",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    #[command(flatten)]
    follow: FollowArgs,
}

pub(super) async fn run(cluster: &Cluster, arguments: &TailArgs) -> Result<Exit, Error> {
    let connected = connect(cluster).await?;
    let shown = follow(
        &connected.client,
        &arguments.name,
        &arguments.filter,
        &arguments.follow,
    );
    tokio::select! {
        exit = shown => exit,
        interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| Exit::Done).map_err(Error::from),
    }
}
