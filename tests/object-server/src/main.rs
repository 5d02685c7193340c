//! The program: serves a directory until it is told to end, for tries by hand.

use std::{io::Write as _, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use object_server::ObjectServer;

/// Serves a directory as an S3 store on loopback, for tests and tries. Prints what to set in the environment of
/// clients.
#[derive(Debug, Parser)]
#[command(name = "object-server")]
struct Cli {
    /// The directory; its subdirectories are the buckets.
    root: PathBuf,
    /// A bucket to make; may be given several times.
    #[arg(long, value_name = "NAME")]
    bucket: Vec<String>,
    /// The address to listen on; port 0 is one that the system chooses.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Answer each Nth request with 503.
    #[arg(long, value_name = "N", default_value_t = 0)]
    refuse_each: u64,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let buckets: Vec<&str> = cli.bucket.iter().map(String::as_str).collect();
    let server = ObjectServer::start_at(&cli.root, &buckets, cli.listen)?;
    server.faults().refuse_each(cli.refuse_each);
    let mut stdout = std::io::stdout().lock();
    for (name, value) in server.environment() {
        writeln!(stdout, "export {name}={value}").context("writing")?;
    }
    stdout.flush().context("writing")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting")?;
    runtime
        .block_on(tokio::signal::ctrl_c())
        .context("waiting for the end")
}
