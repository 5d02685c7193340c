//! The compiling process: one request on stdin, one answer on stdout, and nothing else.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, ToSocketAddrs as _},
    process::ExitCode,
};

use serde::{Deserialize, Serialize};

use super::confine;
use crate::{
    compiled::{ClassicPrograms, Expressions},
    error::FilterError,
    libpcap,
};

/// The first argument of a program that is to compile for another process.
pub(super) const ARGUMENT: &str = "compile-filter";
/// Maximum length of a request: two expressions, with every character escaped.
const MAX_REQUEST: u64 = 1 << 20;

/// Requests to the process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Compile(Expressions),
    /// The addresses of a host name.
    Resolve(String),
}

pub(super) type Compiled = Result<ClassicPrograms, FilterError>;
pub(super) type Resolved = Result<Vec<IpAddr>, String>;

/// Compiles for another process, if the first argument of this one is `compile-filter`. To be called at
/// the beginning of `main`, before any thread is started.
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != ARGUMENT {
        return None;
    }
    Some(match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{ARGUMENT}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn run() -> io::Result<()> {
    confine::confine()?;
    let mut request = Vec::new();
    io::stdin().take(MAX_REQUEST).read_to_end(&mut request)?;
    let answer = match serde_json::from_slice(&request)? {
        Request::Compile(expressions) => {
            confine::without_network()?;
            let compiled: Compiled = libpcap::on_large_stack(|| expressions.compile());
            serde_json::to_vec(&compiled)?
        }
        Request::Resolve(name) => serde_json::to_vec(&resolve(&name))?,
    };
    io::stdout().write_all(&answer)
}

fn resolve(name: &str) -> Resolved {
    let found = (name, 0).to_socket_addrs();
    let mut addresses: Vec<IpAddr> = found
        .map_err(|error| error.to_string())?
        .map(|address| address.ip())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}
