//! Starts, shows and ends a cluster of two nodes with the chart installed: `cargo xtask cluster`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use capture_tests::cluster::{Cluster, Helm};
use clap::{Parser, Subcommand};

const RELEASE: &str = "capture";
const NAMESPACE: &str = "capture-system";

/// A real Kubernetes cluster of two nodes on this machine, in separate network namespaces.
#[derive(Debug, Parser)]
struct Arguments {
    /// Directory of its state and logs
    #[arg(long)]
    directory: PathBuf,
    /// The programs of Kubernetes
    #[arg(long)]
    assets: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the cluster, import the images, install the chart
    Up {
        /// An image archive to import; repeatable
        #[arg(long = "image")]
        images: Vec<PathBuf>,
        /// The program `helm`; without it the chart is not installed
        #[arg(long)]
        helm: Option<PathBuf>,
        /// A value of the chart, as in `daemon.logLevel=debug`; repeatable
        #[arg(long = "set")]
        values: Vec<String>,
        /// How many nodes; 0: the API server alone
        #[arg(long, default_value_t = 2)]
        nodes: usize,
    },
    /// Show the nodes and the pods
    Status,
    /// Run a program in a node, as its root
    Exec {
        /// node1 or node2
        node: String,
        /// The program and its arguments
        #[arg(required = true, last = true)]
        words: Vec<String>,
    },
    /// End everything; keep the logs
    Down,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        rustix::process::geteuid().is_root(),
        "a cluster needs root, for network namespaces, mounts and cgroups"
    );
    let (directory, assets) = (&arguments.directory, &arguments.assets);
    match arguments.action {
        Action::Up {
            images,
            helm,
            values,
            nodes,
        } => {
            let cluster = Cluster::start(directory, assets, "capcluster", nodes)?;
            eprintln!("the API server and {nodes} nodes are ready");
            for image in &images {
                cluster.import(image)?;
            }
            if let Some(program) = helm {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                print!(
                    "{}",
                    Helm::new(&program).install(&cluster, RELEASE, NAMESPACE, &values)?
                );
            }
            println!(
                "\nexport KUBECONFIG={} PATH={}:$PATH",
                cluster.kubeconfig().display(),
                assets.display()
            );
            Ok(())
        }
        Action::Status => {
            let cluster = Cluster::open(directory, assets)?;
            print!("{}", cluster.kubectl(&["get", "nodes", "-o", "wide"])?);
            let pods = ["get", "pods", "--all-namespaces", "-o", "wide"];
            print!("\n{}", cluster.kubectl(&pods)?);
            Ok(())
        }
        Action::Exec { node, words } => {
            let cluster = Cluster::open(directory, assets)?;
            let names = || cluster.nodes().iter().map(|node| node.name.as_str());
            let found = cluster.nodes().iter().find(|one| one.name == node);
            let Some(found) = found else {
                anyhow::bail!(
                    "no node `{node}`; there are {}",
                    names().collect::<Vec<_>>().join(", ")
                );
            };
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            print!("{}", cluster.run_in(found, &words)?);
            Ok(())
        }
        Action::Down => Cluster::open(directory, assets)?.end(),
    }
}
