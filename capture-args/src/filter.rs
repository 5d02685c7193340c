//! The filter options.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use capture_types::{FilterSpec, InnerSpec, TargetSet, Tunnel, values};
use clap::Args;
use ipnet::IpNet;

/// The parts of a filter. A packet has to pass all that are given.
#[derive(Debug, Clone, Args)]
pub struct FilterArgs {
    /// Filter: a pcap-filter(7) expression, as in tcpdump.
    #[arg(value_name = "EXPRESSION")]
    expression: Vec<String>,

    /// Read EXPRESSION from this file, in which # begins a comment; - is stdin.
    #[arg(short = 'F', long, value_name = "FILE", conflicts_with = "expression")]
    filter_file: Option<PathBuf>,

    /// Hosts and ports.
    #[command(flatten)]
    pub targets: TargetArgs,

    /// A pcap-filter(7) expression on the Ethernet frame inside a tunnel; combined by AND with EXPRESSION,
    /// which applies to the outer packet.
    #[arg(long, value_name = "EXPRESSION")]
    pub inner: Option<String>,

    /// A tunnel for --inner, on any port or on the given one. Repeatable; default: both protocols on any
    /// port.
    #[arg(
        long = "tunnel",
        value_name = "vxlan[:PORT]|geneve[:PORT]",
        requires = "inner"
    )]
    pub tunnels: Vec<Tunnel>,
}

/// Hosts and ports; they can change while a capture runs.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Only packets from or to this address or network; combined by AND with EXPRESSION. Repeatable, up
    /// to 65,536 times.
    #[arg(long = "host", value_name = "ADDRESS|CIDR", value_parser = values::network)]
    pub hosts: Vec<IpNet>,

    /// Only packets from or to this TCP, UDP or SCTP port; combined by AND with EXPRESSION.
    /// Repeatable.
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub ports: Vec<u16>,

    /// No packets from or to this address or network. Repeatable, up to 65,536 times.
    #[arg(long = "not-host", value_name = "ADDRESS|CIDR", value_parser = values::network)]
    pub not_hosts: Vec<IpNet>,

    /// No packets from or to this TCP, UDP or SCTP port. Repeatable.
    #[arg(long = "not-port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub not_ports: Vec<u16>,
}

impl TargetArgs {
    /// The targets as sets.
    #[must_use]
    pub fn set(&self) -> TargetSet {
        fn given<T: Clone>(values: &[T]) -> Option<Vec<T>> {
            (!values.is_empty()).then(|| values.to_vec())
        }
        TargetSet {
            hosts: given(&self.hosts),
            ports: given(&self.ports),
            not_hosts: given(&self.not_hosts),
            not_ports: given(&self.not_ports),
        }
    }
}

impl FilterArgs {
    /// The expression, if one is given.
    ///
    /// # Errors
    /// The expression file cannot be read.
    pub fn expression(&self) -> Result<Option<String>, FilterFileError> {
        match &self.filter_file {
            Some(file) => read(file).map(Some).map_err(|source| FilterFileError {
                file: file.clone(),
                source,
            }),
            None => Ok((!self.expression.is_empty()).then(|| self.expression.join(" "))),
        }
    }

    /// The filter, and its initial targets.
    ///
    /// # Errors
    /// The expression file cannot be read.
    pub fn filter(&self) -> Result<(FilterSpec, TargetSet), FilterFileError> {
        let targets = self.targets.set();
        let spec = FilterSpec {
            expression: self.expression()?,
            targets: targets.kinds(),
            inner: self.inner.clone().map(|expression| InnerSpec {
                expression,
                tunnels: self.tunnels.clone(),
            }),
        };
        Ok((spec, targets))
    }
}

/// The file of --filter-file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("--filter-file {}: {source}", file.display())]
pub struct FilterFileError {
    file: PathBuf,
    source: io::Error,
}

/// No expression is nearly as long; a device or a pipe may be endless.
const LONGEST_FILE: u64 = 1 << 20;

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file)?)
    };
    let read = input.take(LONGEST_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > LONGEST_FILE {
        let problem = format!("it has more than {LONGEST_FILE} bytes, too many for an expression");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    Ok(lines.collect::<Vec<_>>().join(" ").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::read;

    #[test]
    fn comments_are_no_part_of_the_expression_and_endless_files_are_refused() {
        let path = std::env::temp_dir().join(format!("filter-file-{}", std::process::id()));
        std::fs::write(&path, "# web\ntcp port 80 # plain\n  or port 443\n").expect("a file");
        let expression = read(&path).expect("readable");
        std::fs::remove_file(&path).expect("it is there");
        let words: Vec<_> = expression.split_whitespace().collect();
        assert_eq!(words, ["tcp", "port", "80", "or", "port", "443"]);
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}
