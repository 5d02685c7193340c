//! The two-node cluster of the tests, with the chart installed, for manual experiments.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command::{cargo_for_tests, run};
use crate::requirements::Purpose;
use crate::workspace::{self, Profile};
use crate::{helm, image, kube, packages, setup};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask cluster up                              two nodes, the images of this checkout, the chart
  cargo xtask cluster up --set daemon.logFormat=text  with other values
  cargo xtask cluster status                          nodes and pods
  cargo xtask cluster exec node1 -- ip -brief link    as the node's root
  cargo xtask cluster definition                      the resource's definition on a current API server
  cargo xtask cluster down";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Build the images, start a real Kubernetes cluster of two nodes on this machine, install the chart
    Up {
        /// A value of the chart; repeatable
        #[arg(long = "set", value_name = "KEY=VALUE")]
        values: Vec<String>,
        /// Install nothing
        #[arg(long)]
        without_chart: bool,
    },
    /// Build Kubernetes into the user's cache, which `up`, `test` and `bench cluster` do by themselves
    Assets,
    /// Try the resource's definition, its schema and rules, on the part of a current API server that knows
    /// such definitions, which is built first: a quarter of an hour, once
    Definition,
    /// Show nodes and pods
    Status,
    /// Run a program in a node, as its root
    Exec {
        /// node1 or node2
        node: String,
        /// The program and its arguments
        #[arg(required = true, last = true)]
        words: Vec<String>,
    },
    /// End the cluster; its logs stay in target/cluster/log
    Down,
}

pub(crate) fn act(arguments: &Arguments) -> Result<()> {
    let mut cluster = program(&workspace::target().join("cluster"))?;
    match &arguments.action {
        Action::Up {
            values,
            without_chart,
        } => {
            setup::prepare(&[Purpose::Build, Purpose::Cluster])?;
            kube::prepare()?;
            cluster.arg("up");
            if !without_chart {
                image::compile(Profile::Release)?;
                for image in image::native(Profile::Release)? {
                    cluster.arg("--image").arg(image);
                }
                cluster.arg("--helm").arg(helm::program()?);
                for value in values {
                    cluster.args(["--set", value]);
                }
            }
        }
        Action::Assets => {
            packages::install_missing(&[Purpose::Cluster])?;
            return kube::prepare();
        }
        Action::Definition => {
            packages::install_missing(&[Purpose::Cluster])?;
            packages::install_named(&[("curl", "/usr/bin/curl")])?;
            kube::prepare()?;
            return try_definition();
        }
        Action::Status => {
            cluster.arg("status");
        }
        Action::Exec { node, words } => {
            cluster.args(["exec", node, "--"]).args(words);
        }
        Action::Down => {
            cluster.arg("down");
        }
    }
    run(&mut cluster)
}

fn try_definition() -> Result<()> {
    let server = kube::definitions::server()?;
    let mut cargo = cargo_for_tests("run");
    cargo
        .arg("--quiet")
        .args(["--package", "capture-tests", "--bin", "capture-definition"])
        .args(["--", "--directory"])
        .arg(workspace::target().join("definition"))
        .arg("--assets")
        .arg(kube::assets()?)
        .arg("--server")
        .arg(server);
    run(&mut cargo)
}

/// The program that starts, shows and ends a cluster whose state is in a directory.
pub(crate) fn program(directory: &Path) -> Result<Command> {
    let mut cargo = cargo_for_tests("run");
    cargo
        .arg("--quiet")
        .args(["--package", "capture-tests", "--bin", "capture-cluster"])
        .arg("--")
        .arg("--directory")
        .arg(directory)
        .arg("--assets")
        .arg(kube::assets()?);
    Ok(cargo)
}
