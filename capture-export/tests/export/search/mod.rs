//! A search cluster as a sink, against a server that speaks OpenSearch's API.

mod cluster;
mod delivery;
mod ecs;
mod faults;
mod kills;
mod nginx;
mod proxy;
mod renewal;
mod rules;
mod secured;
mod setup;
mod traffic;

use std::path::Path;

use cluster::Cluster;

use crate::support::Exporter;

/// An exporter to a cluster at this URL.
fn exporter(data: &Path, url: &str, index: &str, more: &str) -> Exporter {
    let sink = format!(
        "[sink.search]\ntype = 'search'\nurls = ['{url}']\nindex = '{index}'\nretry_sleep = '20ms'\nallow_http = \
         true\n{more}"
    );
    Exporter::new(data, &sink)
}

/// Prepares the cluster, and returns an exporter to it.
fn prepared(data: &Path, cluster: &Cluster, more: &str) -> Exporter {
    let exporter = exporter(data, cluster.url(), &cluster.index, more);
    exporter.prints(&["search", "setup", "--sink", "search"]);
    exporter
}
