//! Live packets of a capture on all its nodes, merged by timestamp.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use capture_client::{
    Client,
    model::{Packet, State, StreamEvent},
    reorder::ReorderBuffer,
};
use capture_proto::v1::{self, stream_cluster_packets_response::Event};
use capture_types::Direction;
use futures_util::StreamExt as _;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};
use tonic::Status;

use super::{nodes::with_capture, reader::Reader, unknown};
use crate::{decide::Namespaces, nodes::Nodes};

/// How often new nodes of the capture are searched for.
const LOOK: Duration = Duration::from_millis(250);
/// Time limit for a capture to start on its first node, and for a pod to move to another.
const BEGINNING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(3);
/// Maximum events of all nodes that wait to be merged.
const WAITING: usize = 64;
/// Packets in one message.
const BATCH: usize = 512;

type Sink = mpsc::Sender<Result<v1::StreamClusterPacketsResponse, Status>>;

/// An event of a node's stream; `Err`: why it broke.
type NodeEvent = (usize, Result<StreamEvent, String>);

/// Streams until the capture has ended on every node, or has pods that the reader may not read.
pub(super) async fn stream(
    nodes: Arc<Nodes>,
    reader: Reader,
    request: v1::StreamClusterPacketsRequest,
    sink: Sink,
) -> Result<(), Status> {
    let mut read = Namespaces::none();
    let (sender, mut events) = mpsc::channel(WAITING);
    let mut merge = Merge::new(sink);
    let mut tasks = JoinSet::new();
    let mut joined = BTreeSet::new();
    let mut open = 0_usize;
    let mut quiet_since = Instant::now();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = merge.due();
        tokio::select! {
            _ = looks.tick() => {
                let found = with_capture(&nodes, reader.captures(), &request.name);
                let now = namespaces(&nodes, &found, &request.name);
                if now != read {
                    reader.may_read(&now).await?;
                    read = now;
                }
                for node in found {
                    let Some((client, uid)) = running(&nodes, &node, &request.name) else { continue };
                    // A capture that was started again on a node is a different one.
                    if !joined.insert((node.clone(), uid)) {
                        continue;
                    }
                    let number = merge.add_node(node);
                    open += 1;
                    tasks.spawn(follow(client, number, request.clone(), sender.clone()));
                }
                if open > 0 {
                    quiet_since = Instant::now();
                }
                let patience = if joined.is_empty() { BEGINNING } else { PAUSE };
                if open == 0 && quiet_since.elapsed() >= patience {
                    merge.rest().await?;
                    return if joined.is_empty() { Err(unknown(&request.name)) } else { Ok(()) };
                }
            }
            Some((number, event)) = events.recv() => {
                let ends = matches!(event, Err(_) | Ok(StreamEvent::Ended(_)));
                open -= usize::from(ends);
                merge.take(number, event).await?;
            }
            () = sleep_until(due.into()) => {}
        }
        merge.send_due(Instant::now()).await?;
    }
}

/// The namespaces whose pods' packets a capture has on these nodes.
fn namespaces(nodes: &Nodes, found: &[String], name: &str) -> Namespaces {
    let captures = found.iter().filter_map(|node| nodes.view(node, name)?.1);
    let running = captures.filter(|capture| capture.state == State::Running);
    let each = running.map(|capture| Namespaces::now(&capture.spec));
    each.fold(Namespaces::none(), Namespaces::and)
}

/// The connection to a node on which the capture runs, and the capture's uid there.
fn running(nodes: &Nodes, node: &str, name: &str) -> Option<(Client, String)> {
    let (_, capture) = nodes.view(node, name)?;
    let capture = capture.filter(|capture| capture.state == State::Running)?;
    Some((nodes.client(node)?, capture.uid.clone()))
}

/// Reads one node's stream to its end.
async fn follow(
    client: Client,
    number: usize,
    request: v1::StreamClusterPacketsRequest,
    events: mpsc::Sender<NodeEvent>,
) {
    let stream = client
        .stream_packets(&request.name, &request.filter, request.snaplen, None)
        .await;
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => {
            let _ = events.send((number, Err(error.to_string()))).await;
            return;
        }
    };
    let mut stream = pin!(stream);
    while let Some(event) = stream.next().await {
        let event = event.map_err(|error| error.to_string());
        let ends = matches!(event, Err(_) | Ok(StreamEvent::Ended(_)));
        if events.send((number, event)).await.is_err() || ends {
            return;
        }
    }
    let lost = "the node ended the stream".to_owned();
    let _ = events.send((number, Err(lost))).await;
}

/// Orders the packets of many nodes.
struct Merge {
    sink: Sink,
    nodes: Vec<String>,
    order: ReorderBuffer,
    /// Numbers of interfaces in this stream, by node and number on the node.
    interfaces: BTreeMap<(usize, u32), u32>,
    /// Ends that wait until all packets before them are sent.
    ended: Vec<v1::ClusterNodeEnded>,
}

/// An empty buffer.
const IDLE: Duration = Duration::from_secs(3600);

impl Merge {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            nodes: Vec::new(),
            order: ReorderBuffer::default(),
            interfaces: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    fn add_node(&mut self, name: String) -> usize {
        self.nodes.push(name);
        self.nodes.len() - 1
    }

    fn due(&self) -> Instant {
        self.order.due().unwrap_or_else(|| Instant::now() + IDLE)
    }

    async fn send(&self, event: Event) -> Result<(), Status> {
        let response = v1::StreamClusterPacketsResponse { event: Some(event) };
        let sent = self.sink.send(Ok(response)).await;
        sent.map_err(|_| Status::cancelled("the reader is gone"))
    }

    async fn take(
        &mut self,
        number: usize,
        event: Result<StreamEvent, String>,
    ) -> Result<(), Status> {
        let node = self.nodes[number].clone();
        match event {
            Ok(StreamEvent::Interface(interface)) => {
                let id = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
                self.interfaces.insert((number, interface.id), id);
                let hardware_address = interface.hardware_address.map(Vec::from);
                let interface = v1::PacketInterface {
                    id,
                    name: interface.name,
                    ifindex: 0,
                    link_type: interface.link_type,
                    snaplen: interface.snaplen,
                    hardware_address: hardware_address.unwrap_or_default(),
                    description: interface.description,
                    comment: interface.comment,
                };
                let interface = Some(interface);
                self.send(Event::Interface(v1::ClusterInterface { node, interface }))
                    .await
            }
            Ok(StreamEvent::Packets(packets)) => {
                self.order.add(number, packets, Instant::now());
                Ok(())
            }
            Ok(StreamEvent::Names(names)) => {
                let names = names.into_iter().map(|(address, name)| v1::AddressName {
                    address: address.to_string(),
                    name,
                });
                let names = names.collect();
                self.send(Event::Names(v1::AddressNames { names })).await
            }
            Ok(StreamEvent::Missed { packets, total }) => {
                let missed = Some(v1::PacketsMissed {
                    packets,
                    total_packets: total,
                });
                self.send(Event::Missed(v1::ClusterPacketsMissed { node, missed }))
                    .await
            }
            Ok(StreamEvent::Ended(capture)) => {
                let capture = v1::Capture {
                    name: capture.name,
                    uid: capture.uid,
                    message: capture.message,
                    bytes_written: capture.bytes_written,
                    ..v1::Capture::default()
                };
                self.ended.push(v1::ClusterNodeEnded {
                    node,
                    capture: Some(capture),
                    problem: String::new(),
                });
                Ok(())
            }
            Err(problem) => {
                self.ended.push(v1::ClusterNodeEnded {
                    node,
                    capture: None,
                    problem,
                });
                Ok(())
            }
        }
    }

    /// Sends packets that have waited long enough.
    async fn send_due(&mut self, now: Instant) -> Result<(), Status> {
        loop {
            let mut packets = Vec::new();
            while packets.len() < BATCH
                && let Some((node, packet)) = self.order.next(now)
            {
                packets.push(self.packet(node, packet));
            }
            if packets.is_empty() {
                break;
            }
            self.send(Event::Packets(v1::PacketBatch { packets }))
                .await?;
        }
        // When no packets are left, earlier ends are reported.
        if self.order.due().is_none() {
            for ended in std::mem::take(&mut self.ended) {
                self.send(Event::Ended(ended)).await?;
            }
        }
        Ok(())
    }

    /// Sends the rest.
    async fn rest(&mut self) -> Result<(), Status> {
        let mut packets = Vec::new();
        while let Some((node, packet)) = self.order.rest() {
            packets.push(self.packet(node, packet));
            if packets.len() == BATCH {
                let packets = std::mem::take(&mut packets);
                self.send(Event::Packets(v1::PacketBatch { packets }))
                    .await?;
            }
        }
        if !packets.is_empty() {
            self.send(Event::Packets(v1::PacketBatch { packets }))
                .await?;
        }
        for ended in std::mem::take(&mut self.ended) {
            self.send(Event::Ended(ended)).await?;
        }
        Ok(())
    }

    fn packet(&self, node: usize, packet: Packet) -> v1::Packet {
        let direction = match packet.direction {
            Some(Direction::In) => v1::Direction::In,
            Some(Direction::Out) => v1::Direction::Out,
            None => v1::Direction::Unspecified,
        };
        v1::Packet {
            timestamp_ns: packet.timestamp,
            interface_id: self
                .interfaces
                .get(&(node, packet.interface))
                .copied()
                .unwrap_or(u32::MAX),
            direction: direction.into(),
            original_length: packet.original_length,
            data: packet.data,
        }
    }
}
