//! The request in a resource, checked and converted once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use capture_client::model::{Codec, Compression, FileOutput, Output, Retention, Rotation, Span};
use capture_types::{
    CompressWhen, DigestAlgorithm, Directions, Format, InterfacePattern, SinkName, distinct_sinks,
    values,
};
use kube::core::Selector;
use sha2::{Digest as _, Sha256};

use crate::resource::{self, Amount, OutputFormat, PacketCaptureConfigSpec};

/// Defaults for files, from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileDefaults {
    /// Files kept of a capture on each node: `MAX_CAPTURE_FILES`.
    pub max_files: u32,
    /// Bytes of a file at which the next one begins: `MAX_CAPTURE_FILE_SIZE_MB`.
    pub max_file_bytes: u64,
}

impl Default for FileDefaults {
    fn default() -> Self {
        Self {
            max_files: 5,
            max_file_bytes: 10_000_000,
        }
    }
}

/// The request in a resource.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Addresses and networks, in canonical form.
    pub targets: Vec<String>,
    /// Pods, if there is a selector.
    pub selection: Option<Selection>,
    /// Labels that nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Names of nodes; any if empty.
    pub node_names: BTreeSet<String>,
    /// TCP and UDP ports.
    pub ports: Vec<u32>,
    /// A pcap-filter expression; the nodes check it.
    pub filter: String,
    /// Interfaces of nodes; empty for the pods' own, or any.
    pub interfaces: Vec<String>,
    /// Whether a packet that passes several interfaces of a node is recorded only at the first, if the
    /// resource says.
    pub each_packet_once: Option<bool>,
    /// Received packets, sent packets or both.
    pub direction: Option<Directions>,
    /// Bytes kept of each packet.
    pub snaplen: Option<u32>,
    /// The destination of packets.
    pub output: Output,
    /// The duration.
    pub duration: Duration,
    /// Packets on each node.
    pub packets: u64,
    /// How long after its end the resource is deleted.
    pub ttl: Option<Duration>,
    /// The captures are suspended.
    pub suspend: bool,
    /// Sinks of the exporter that get the files.
    pub export: Vec<String>,
}

/// Selects nodes, by all of its conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeChoice {
    /// Labels that nodes must have.
    pub labels: BTreeMap<String, String>,
    /// Names of nodes; any if empty.
    pub names: BTreeSet<String>,
}

impl NodeChoice {
    /// Whether it may select a node of this name.
    #[must_use]
    pub fn names(&self, node: &str) -> bool {
        self.names.is_empty() || self.names.contains(node)
    }
}

/// Selects pods.
#[derive(Debug, Clone)]
pub struct Selection {
    /// By namespace and name.
    pub names: Vec<(String, String)>,
    /// By labels, and the namespaces to search; all if empty.
    pub labels: Option<(Selector, Vec<String>)>,
}

/// An invalid value. It stays invalid until somebody changes the resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field, as in `spec.targetIPs[0]`.
    pub field: String,
    /// Its value and what is valid.
    pub problem: String,
}

fn invalid<T>(field: impl Into<String>, problem: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid {
        field: field.into(),
        problem: problem.into(),
    })
}

/// Maximum entries of lists, as in the resource's schema and on the nodes.
const MOST: usize = 4096;
/// Maximum pods that a node accepts.
pub const MOST_PODS: usize = 1024;

impl Plan {
    /// Checks every value of a resource.
    ///
    /// # Errors
    /// The first invalid value.
    pub fn new(spec: &PacketCaptureConfigSpec, defaults: FileDefaults) -> Result<Self, Invalid> {
        let selection = spec.pod_selector.as_ref().map(selection).transpose()?;
        if spec.target_ips.is_empty() && selection.is_none() {
            return invalid("spec", "give targetIPs, podSelector, or both");
        }
        Ok(Self {
            targets: targets(&spec.target_ips)?,
            selection,
            node_selector: spec.node_selector.clone(),
            node_names: spec.node_names.iter().cloned().collect(),
            ports: ports(&spec.target_ports)?,
            filter: spec.filter.trim().to_owned(),
            interfaces: interfaces(&spec.interfaces)?,
            each_packet_once: spec.each_packet_once,
            direction: spec.direction.map(|direction| match direction {
                resource::Direction::In => Directions::In,
                resource::Direction::Out => Directions::Out,
                resource::Direction::Inout => Directions::InOut,
            }),
            snaplen: spec.snaplen.map(snaplen).transpose()?,
            output: output(spec, defaults)?,
            duration: Duration::from_secs(positive("spec.duration", spec.duration)?),
            packets: positive("spec.maxPackets", spec.max_packets)?,
            ttl: match spec.retention.as_ref().and_then(|kept| kept.ttl.as_ref()) {
                Some(ttl) => Some(time("spec.retention.ttl", ttl)?),
                None => None,
            },
            suspend: spec.suspend,
            export: export(spec)?,
        })
    }

    /// Fails if it names a sink that is neither configured nor was accepted before.
    ///
    /// # Errors
    /// The first unknown name.
    pub fn with_known_sinks(self, known: &[SinkName], accepted: &[&str]) -> Result<Self, Invalid> {
        let is_unknown = |name: &&String| {
            !accepted.contains(&name.as_str()) && !known.iter().any(|sink| sink.as_str() == *name)
        };
        let Some(name) = self.export.iter().find(is_unknown) else {
            return Ok(self);
        };
        let names: Vec<&str> = known.iter().map(SinkName::as_str).collect();
        let what_to_do = if names.is_empty() {
            "no sink is configured, which an administrator does with export_sinks".to_owned()
        } else {
            format!("use one of {}", names.join(", "))
        };
        invalid(
            "spec.export",
            format!("{name:?} is not a sink of this cluster: {what_to_do}"),
        )
    }

    /// Whether a packet that passes several interfaces of a node is recorded only at the first. By address,
    /// every interface of a node is captured: a packet of a pod passes the pod's, a bridge and the NIC.
    #[must_use]
    pub fn records_each_packet_once(&self) -> bool {
        self.each_packet_once
            .unwrap_or(!self.targets.is_empty() && self.interfaces.is_empty())
    }

    /// Digest of the fields that cannot change while a node's capture runs.
    #[must_use]
    pub fn fixed_digest(&self) -> String {
        let of_most = digest(&(
            &self.interfaces,
            self.direction.map(|direction| direction.to_string()),
            self.snaplen,
            &self.output,
            self.selection.is_some() && self.targets.is_empty(),
        ));
        // Without the field the digest is that of versions that did not know it, so that an upgrade
        // begins no new runs.
        match self.each_packet_once {
            None => of_most,
            Some(once) => digest(&(of_most, once)),
        }
    }

    /// Digest of the fields that define a run: a change after the end begins a new one.
    #[must_use]
    pub fn run_digest(&self) -> String {
        let pods = self.selection.as_ref().map(|selection| {
            let labels = selection.labels.as_ref();
            let labels = labels.map(|(selector, namespaces)| (selector.to_string(), namespaces));
            (&selection.names, labels)
        });
        let of_all = digest(&(
            self.fixed_digest(),
            (&self.targets, &self.ports, &self.filter),
            (pods, &self.node_selector),
            (self.duration.as_secs(), self.packets),
        ));
        if self.node_names.is_empty() {
            return of_all;
        }
        digest(&(of_all, &self.node_names))
    }

    /// The nodes on which it captures.
    #[must_use]
    pub fn nodes(&self) -> NodeChoice {
        NodeChoice {
            labels: self.node_selector.clone(),
            names: self.node_names.clone(),
        }
    }
}

fn export(spec: &PacketCaptureConfigSpec) -> Result<Vec<String>, Invalid> {
    if spec.output_format == OutputFormat::Stdout && !spec.export.is_empty() {
        return invalid(
            "spec.export",
            "outputFormat stdout makes no files: leave it out, or choose another outputFormat",
        );
    }
    let mut names = Vec::new();
    for (at, name) in spec.export.iter().enumerate() {
        match name.parse::<SinkName>() {
            Ok(name) => names.push(name),
            Err(error) => {
                return invalid(format!("spec.export[{at}]"), format!("{name:?}: {error}"));
            }
        }
    }
    match distinct_sinks(names) {
        Ok(names) => Ok(names.into_iter().map(String::from).collect()),
        Err(error) => invalid("spec.export", error.to_string()),
    }
}

/// The first 64 bits of a digest, in hexadecimal.
pub(crate) fn digest(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    let bytes = Sha256::digest(json);
    bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn selection(selector: &resource::PodSelector) -> Result<Selection, Invalid> {
    let labels = match &selector.label_selector {
        Some(labels) => Some(Selector::try_from(labels.clone()).map_err(|error| Invalid {
            field: "spec.podSelector.labelSelector".to_owned(),
            problem: error.to_string(),
        })?),
        None if !selector.namespaces.is_empty() => Some(Selector::default()),
        None => None,
    };
    if selector.pods.is_empty() && labels.is_none() {
        return invalid(
            "spec.podSelector",
            "it selects no pods: give pods, labelSelector or namespaces",
        );
    }
    if selector.pods.len() > MOST_PODS {
        return invalid(
            "spec.podSelector.pods",
            format!("at most {MOST_PODS} can be named"),
        );
    }
    let mut names = Vec::new();
    for (at, pod) in selector.pods.iter().enumerate() {
        if pod.pod_name.is_empty() {
            return invalid(
                format!("spec.podSelector.pods[{at}].podName"),
                "it is empty",
            );
        }
        let namespace = if pod.namespace.is_empty() {
            "default"
        } else {
            &pod.namespace
        };
        names.push((namespace.to_owned(), pod.pod_name.clone()));
    }
    names.sort();
    names.dedup();
    Ok(Selection {
        names,
        labels: labels.map(|selector_| (selector_, selector.namespaces.clone())),
    })
}

fn targets(texts: &[String]) -> Result<Vec<String>, Invalid> {
    if texts.len() > MOST {
        return invalid("spec.targetIPs", format!("at most {MOST} can be given"));
    }
    let mut targets = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        match values::network(text.trim()) {
            Ok(network) if network.prefix_len() == network.max_prefix_len() => {
                targets.push(network.addr().to_string());
            }
            Ok(network) => targets.push(network.trunc().to_string()),
            Err(error) => {
                return invalid(
                    format!("spec.targetIPs[{at}]"),
                    format!("{text:?}: {error}"),
                );
            }
        }
    }
    targets.sort();
    targets.dedup();
    Ok(targets)
}

fn ports(numbers: &[i32]) -> Result<Vec<u32>, Invalid> {
    if numbers.len() > MOST {
        return invalid("spec.targetPorts", format!("at most {MOST} can be given"));
    }
    let mut ports = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        match u16::try_from(*number) {
            Ok(port) if port > 0 => ports.push(port.into()),
            _ => {
                return invalid(
                    format!("spec.targetPorts[{at}]"),
                    format!("{number}: give a port from 1 to 65535"),
                );
            }
        }
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

fn interfaces(texts: &[String]) -> Result<Vec<String>, Invalid> {
    for (at, text) in texts.iter().enumerate() {
        if let Err(error) = text.parse::<InterfacePattern>() {
            return invalid(
                format!("spec.interfaces[{at}]"),
                format!("{text:?}: {error}"),
            );
        }
    }
    Ok(texts.to_vec())
}

fn snaplen(bytes: i32) -> Result<u32, Invalid> {
    match u32::try_from(bytes) {
        Ok(bytes) if (1..=values::WHOLE_PACKETS).contains(&bytes) => Ok(bytes),
        _ => invalid(
            "spec.snaplen",
            format!("{bytes}: give bytes from 1 to {}", values::WHOLE_PACKETS),
        ),
    }
}

fn positive(field: &str, number: i64) -> Result<u64, Invalid> {
    match u64::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => invalid(field, format!("{number}: give a number of at least 1")),
    }
}

fn time(field: &str, amount: &Amount) -> Result<Duration, Invalid> {
    amount.duration().map_err(|error| Invalid {
        field: field.to_owned(),
        problem: format!("{amount}: {error}"),
    })
}

fn bytes(field: &str, amount: &Amount) -> Result<u64, Invalid> {
    amount.bytes().map_err(|error| Invalid {
        field: field.to_owned(),
        problem: format!("{amount}: {error}"),
    })
}

fn output(spec: &PacketCaptureConfigSpec, defaults: FileDefaults) -> Result<Output, Invalid> {
    let files = FileOutput {
        format: match spec.output_format {
            OutputFormat::Pcap => Some(Format::Pcap),
            OutputFormat::Pcapng => Some(Format::Pcapng),
            OutputFormat::Text => Some(Format::Text),
            OutputFormat::Stdout => return Ok(Output::Stdout {}),
        },
        compression: Some(compression(spec.compression.as_ref())?),
        rotation: rotation(spec.rotation.as_ref(), defaults)?,
        retention: retention(spec.retention.as_ref(), defaults)?,
        digest: Some(DigestAlgorithm::default()),
    };
    Ok(match spec.output_format {
        OutputFormat::Text => Output::Text(files),
        _ => Output::Files(files),
    })
}

/// Default: gzip once a file is complete, so that the newest can be read at once.
fn compression(given: Option<&resource::Compression>) -> Result<Compression, Invalid> {
    let given = given.cloned().unwrap_or_default();
    let (codec, most, least) = match given.codec {
        resource::Codec::None => (Codec::None, 0, 0),
        resource::Codec::Gzip => (Codec::Gzip, 9, 0),
        resource::Codec::Zstd => (Codec::Zstd, 19, 1),
    };
    let level = match given.level.map(u32::try_from) {
        None => None,
        Some(_) if codec == Codec::None => None,
        Some(Ok(level)) if (least..=most).contains(&level) => Some(level),
        Some(_) => {
            return invalid(
                "spec.compression.level",
                format!("give {least} to {most} for {codec}"),
            );
        }
    };
    Ok(Compression {
        codec,
        level,
        when: (codec != Codec::None).then_some(CompressWhen::Rotated),
    })
}

fn rotation(
    given: Option<&resource::Rotation>,
    defaults: FileDefaults,
) -> Result<Rotation, Invalid> {
    let given = given.cloned().unwrap_or_default();
    let max_file_bytes = match &given.max_file_size {
        Some(size) => bytes("spec.rotation.maxFileSize", size)?,
        None => defaults.max_file_bytes,
    };
    Ok(Rotation {
        max_file_bytes: Some(max_file_bytes),
        interval: match &given.max_age {
            Some(age) => Some(Span(time("spec.rotation.maxAge", age)?)),
            None => None,
        },
        max_packets: match given.max_packets {
            Some(packets) => Some(positive("spec.rotation.maxPackets", packets)?),
            None => None,
        },
    })
}

fn retention(
    given: Option<&resource::Retention>,
    defaults: FileDefaults,
) -> Result<Retention, Invalid> {
    let given = given.cloned().unwrap_or_default();
    let max_files = match given.max_files.map(u32::try_from) {
        None => defaults.max_files,
        Some(Ok(files)) if files > 0 => files,
        Some(_) => return invalid("spec.retention.maxFiles", "give a number of at least 1"),
    };
    Ok(Retention {
        max_files: Some(max_files),
        max_bytes: match &given.max_bytes {
            Some(size) => Some(bytes("spec.retention.maxBytes", size)?),
            None => None,
        },
        max_age: None,
    })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
