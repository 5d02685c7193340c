//! A client of a coordinator, which gives access to the nodes of a cluster.

mod changes;
mod spec;

use std::path::PathBuf;

use capture_proto::v1::{
    self, cluster_service_client::ClusterServiceClient,
    stream_cluster_packets_response::Event as Proto,
};
use futures_util::{Stream, StreamExt as _};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};

use crate::{
    CallOptions, ClientError, Piece,
    client::{LARGEST_MESSAGE, coordinator, read},
    convert, error,
    files::read_piece,
    model::{Capture, File, NetworkInterface, Node, StreamEvent},
    pull::Fetch,
};

pub use changes::{ClusterUpdate, NodeAnswer, Started};
pub use spec::{ClusterSpec, PodName, PodSelector};

/// The address and credentials for a coordinator.
#[derive(Debug, Clone)]
pub struct Coordinator {
    /// `HOST:PORT`.
    pub address: String,
    /// Certificate of the authority that signed the coordinator's, PEM.
    pub cacert: PathBuf,
    /// The name in the coordinator's certificate, if different from the host.
    pub server_name: Option<String>,
    /// The caller's credentials.
    pub proof: Proof,
}

/// The caller's credentials.
#[derive(Clone)]
pub enum Proof {
    /// A bearer token of Kubernetes.
    Token(String),
    /// A certificate and its key, PEM.
    Certificate {
        /// The certificate.
        cert: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

impl std::fmt::Debug for Proof {
    /// Does not show the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::Certificate { cert, .. } => f.debug_tuple("Certificate").field(cert).finish(),
        }
    }
}

/// A connection to a coordinator.
#[derive(Clone)]
pub struct ClusterClient {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    options: CallOptions,
}

impl std::fmt::Debug for ClusterClient {
    /// Does not show the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterClient").finish_non_exhaustive()
    }
}

/// The nodes of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterNodes {
    /// The nodes, by name.
    pub nodes: Vec<ClusterNode>,
    /// Whether it is a Kubernetes cluster, in which captures select pods or addresses.
    pub kubernetes: bool,
}

/// A node of the cluster.
#[derive(Debug, Clone)]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// The node's description by its daemon, or why it cannot be reached.
    pub node: Result<Box<Node>, String>,
    /// Its interfaces; empty in Kubernetes.
    pub interfaces: Vec<NetworkInterface>,
}

/// A capture on one node.
#[derive(Debug, Clone)]
pub struct ClusterCapture {
    /// The node's name; empty if it has not begun on any node.
    pub node: String,
    /// The last known state of the capture.
    pub capture: Capture,
    /// Why the node cannot be reached now.
    pub problem: Option<String>,
}

/// The files of a capture on one node.
#[derive(Debug, Clone)]
pub struct NodeFiles {
    /// The node's name.
    pub node: String,
    /// Its files, the oldest first.
    pub files: Vec<File>,
    /// Files that retention has removed.
    pub removed_files: u64,
    /// Why its files are unknown.
    pub problem: Option<String>,
}

/// An event of a cluster's packet stream, with its node.
#[derive(Debug, Clone)]
pub enum ClusterEvent {
    /// An interface, packets of any nodes, names, or packets that were missed. Ids of interfaces are unique.
    Stream {
        /// The node; empty for packets and names.
        node: String,
        /// The event.
        event: StreamEvent,
    },
    /// A node was lost.
    Lost {
        /// The node.
        node: String,
        /// Why.
        problem: String,
    },
}

impl ClusterClient {
    /// Connects.
    ///
    /// # Errors
    /// The coordinator cannot be reached, or a certificate is rejected.
    pub async fn connect(
        coordinator: &Coordinator,
        options: &CallOptions,
    ) -> Result<Self, ClientError> {
        let authority = read("cacert", &coordinator.cacert, "CERTIFICATE-----")?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        let mut authorization = None;
        match &coordinator.proof {
            Proof::Token(token) => {
                let value = format!("Bearer {}", token.trim()).parse();
                let mut value: MetadataValue<Ascii> = value.map_err(|_| {
                    ClientError::Files("the token contains invalid characters".to_owned())
                })?;
                value.set_sensitive(true);
                authorization = Some(value);
            }
            Proof::Certificate { cert, key } => {
                let certificate = read("cert", cert, "CERTIFICATE-----")?;
                let key = read("key", key, "PRIVATE KEY-----")?;
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
        }
        if let Some(name) = &coordinator.server_name {
            tls = tls.domain_name(name);
        }
        let channel = self::coordinator(&coordinator.address, tls).await?;
        Ok(Self {
            channel,
            authorization,
            options: options.clone(),
        })
    }

    fn service(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    fn request<T>(&self, message: T, has_deadline: bool) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(timeout) = self.options.timeout.filter(|_| has_deadline) {
            request.set_timeout(timeout);
        }
        if let Some(authorization) = &self.authorization {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
        }
        request
    }

    fn error(&self, status: &tonic::Status) -> ClientError {
        error::from_status(status, self.options.timeout)
    }

    /// The nodes, by name.
    pub async fn nodes(&self) -> Result<ClusterNodes, ClientError> {
        let request = self.request(v1::ListClusterNodesRequest {}, true);
        let answer = self.service().list_cluster_nodes(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        let node = |node: v1::ClusterNode| ClusterNode {
            name: node.name,
            node: match node.node {
                Some(node) => Ok(Box::new(convert::node(node))),
                None => Err(node.problem),
            },
            interfaces: node
                .interfaces
                .into_iter()
                .map(convert::interface)
                .collect(),
        };
        Ok(ClusterNodes {
            nodes: answer.nodes.into_iter().map(node).collect(),
            kubernetes: answer.kubernetes,
        })
    }

    /// Captures on each node; without a name, all.
    pub async fn captures(&self, name: &str) -> Result<Vec<ClusterCapture>, ClientError> {
        let request = v1::ListClusterCapturesRequest {
            name: name.to_owned(),
        };
        let request = self.request(request, true);
        let answer = self.service().list_cluster_captures(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        let capture = |message: v1::ClusterCapture| ClusterCapture {
            node: message.node,
            capture: convert::capture(message.capture.unwrap_or_default()),
            problem: known(message.problem),
        };
        Ok(answer.captures.into_iter().map(capture).collect())
    }

    /// The files of a capture, by node.
    pub async fn files(&self, name: &str) -> Result<Vec<NodeFiles>, ClientError> {
        let request = v1::ListClusterFilesRequest {
            name: name.to_owned(),
        };
        let request = self.request(request, true);
        let answer = self.service().list_cluster_files(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        let files = |message: v1::ClusterNodeFiles| NodeFiles {
            node: message.node,
            files: message.files.into_iter().map(convert::file).collect(),
            removed_files: message.removed_files,
            problem: known(message.problem),
        };
        Ok(answer.nodes.into_iter().map(files).collect())
    }

    /// Packets of a capture on all its nodes, by timestamp. Has no deadline.
    pub async fn stream_packets(
        &self,
        name: &str,
        filter: &str,
        snaplen: Option<u32>,
    ) -> Result<impl Stream<Item = Result<ClusterEvent, ClientError>> + Send + use<>, ClientError>
    {
        let request = v1::StreamClusterPacketsRequest {
            name: name.to_owned(),
            filter: filter.to_owned(),
            snaplen,
        };
        let request = self.request(request, false);
        let answer = self.service().stream_cluster_packets(request).await;
        let stream = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(stream.filter_map(async |event| match event {
            Ok(event) => event.event.and_then(cluster_event).map(Ok),
            Err(status) => Some(Err(error::from_status(&status, None))),
        }))
    }
}

/// A file of one node, through the coordinator: client, node and capture.
impl Fetch for (&ClusterClient, &str, &str) {
    async fn read(
        &self,
        file: &str,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<Piece, ClientError>> + Send, ClientError> {
        let (client, node, name) = self;
        let request = v1::ReadClusterFileRequest {
            node: (*node).to_owned(),
            name: (*name).to_owned(),
            file: file.to_owned(),
            offset,
        };
        let request = client.request(request, false);
        let answer = client.service().read_cluster_file(request).await;
        let stream = answer.map_err(|status| client.error(&status))?.into_inner();
        Ok(stream.filter_map(async |response| match response {
            Ok(response) => response.piece.and_then(|piece| piece.piece).map(read_piece),
            Err(status) => Some(Err(error::from_status(&status, None))),
        }))
    }
}

fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// `None`: an event that this client does not know.
fn cluster_event(event: Proto) -> Option<ClusterEvent> {
    use v1::stream_packets_response::Event;
    let (node, event) = match event {
        Proto::Interface(message) => (message.node, Event::Interface(message.interface?)),
        Proto::Packets(packets) => (String::new(), Event::Packets(packets)),
        Proto::Missed(message) => (message.node, Event::Missed(message.missed?)),
        Proto::Names(names) => (String::new(), Event::Names(names)),
        Proto::Ended(message) => match message.capture {
            Some(capture) => (message.node, Event::Ended(capture)),
            None => {
                return Some(ClusterEvent::Lost {
                    node: message.node,
                    problem: message.problem,
                });
            }
        },
    };
    let response = v1::StreamPacketsResponse { event: Some(event) };
    let event = convert::stream_event(response)?;
    Some(ClusterEvent::Stream { node, event })
}
