//! NodeService.

use std::{collections::BTreeMap, time::Duration};

use capture_proto::v1::{self, node_service_server::NodeService};
use tonic::{Request, Response, Status};

use super::{
    Context, bounds, convert, peer,
    status::{Violations, invalid},
    stream::{Answers, Gone, STREAM_MEMORY, Sink, answer},
};
use crate::{
    audit,
    manager::{Manager, State},
};
use capture_kernel::{features::Features, syscall::clock_state};
use capture_session::interfaces::{self, Interface, Watch};
use capture_types::time;

/// Properties of a node; determined once.
#[derive(Debug)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// When the daemon started; UTC nanoseconds.
    pub started: u64,
    /// The features of its kernel, or why it has none.
    pub features: Result<Features, String>,
    /// The attach method; empty if programs cannot be attached.
    pub attach_method: &'static str,
}

pub(super) struct Node(pub(super) Context);

impl Node {
    fn node(&self, caller: &peer::Peer) -> v1::Node {
        let Context { manager, node, .. } = &self.0;
        let system = rustix::system::uname();
        let (limits, usage) = (manager.budget().limits(), manager.budget().usage());
        let probes = match &node.features {
            Ok(features) => [
                ("tcx", features.tcx),
                ("tai_clock", features.tai_clock),
                ("capture", true),
            ]
            .map(|(name, there)| (name.to_owned(), there))
            .into(),
            Err(_) => [("capture".to_owned(), false)].into(),
        };
        v1::Node {
            name: node.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(convert::timestamp(node.started)),
            kernel_release: system.release().to_string_lossy().into_owned(),
            architecture: system.machine().to_string_lossy().into_owned(),
            features: Some(v1::NodeFeatures {
                attach_method: node.attach_method.to_owned(),
                probes,
            }),
            limits: Some(v1::NodeLimits {
                max_active_captures: limits.active_captures,
                max_captures: limits.captures,
                ring_bytes: limits.ring_bytes,
                disk_bytes: limits.disk_bytes,
                max_packet_readers: limits.packet_readers,
                client_memory_bytes: self.0.memory.limit(),
                max_descriptors: limits.descriptors,
            }),
            usage: Some(v1::NodeUsage {
                active_captures: usage.active_captures,
                captures: manager.count(),
                ring_bytes: usage.ring_bytes,
                disk_bytes: usage.disk_bytes,
                disk_free_bytes: usage.disk_free_bytes,
                packet_readers: usage.packet_readers,
                client_memory_bytes: self.0.memory.used(),
                descriptors: usage.descriptors,
                recovering_captures: manager.recovering(),
            }),
            clock: Some(clock()),
            caller_role: caller.role.name().to_owned(),
            caller: caller.identity.to_string(),
            log_level: self.0.log.get(),
        }
    }
}

fn clock() -> v1::NodeClock {
    let state = clock_state().ok();
    v1::NodeClock {
        now: Some(convert::timestamp(time::now())),
        synchronised: state.map(|(synchronised, _)| synchronised),
        max_error: state
            .filter(|(synchronised, _)| *synchronised)
            .and_then(|(_, most)| prost_types::Duration::try_from(most).ok()),
    }
}

#[tonic::async_trait]
impl NodeService for Node {
    type WatchInterfacesStream = Answers<v1::WatchInterfacesResponse>;

    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let node = self.node(&peer::of(&request));
        Ok(Response::new(v1::GetNodeResponse { node: Some(node) }))
    }

    async fn list_interfaces(
        &self,
        _request: Request<v1::ListInterfacesRequest>,
    ) -> Result<Response<v1::ListInterfacesResponse>, Status> {
        let watch = Watch::new().map_err(unavailable)?;
        let mut interfaces = watch.list().await.map_err(unavailable)?;
        interfaces.sort_by_key(|interface| interface.ifindex);
        let captures = captures_by_interface(&self.0.manager);
        let interfaces = interfaces
            .iter()
            .map(|interface| convert(interface, &captures))
            .collect();
        Ok(Response::new(v1::ListInterfacesResponse { interfaces }))
    }

    async fn watch_interfaces(
        &self,
        request: Request<v1::WatchInterfacesRequest>,
    ) -> Result<Response<Self::WatchInterfacesStream>, Status> {
        let who = peer::of(&request).identity;
        let memory = self.0.memory.reserve(&who, STREAM_MEMORY)?;
        let watch = Watch::new().map_err(unavailable)?;
        let interfaces = watch.list().await.map_err(unavailable)?;
        let manager = self.0.manager.clone();
        Ok(answer(&self.0.manager, memory, |sink| {
            follow(manager, watch, interfaces, sink)
        }))
    }

    async fn set_log_level(
        &self,
        request: Request<v1::SetLogLevelRequest>,
    ) -> Result<Response<v1::SetLogLevelResponse>, Status> {
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let mut wrong = Violations::default();
        wrong.at_most("log_level", &request.log_level, bounds::LOG_LEVEL);
        wrong.at_most("reason", &request.reason, bounds::REASON);
        wrong.check()?;
        let result = self.0.log.set(&request.log_level);
        let outcome = result.as_ref().map(|_| ()).map_err(String::as_str);
        audit::done(
            &who,
            "SetLogLevel",
            &request.log_level,
            &request.reason,
            outcome,
        );
        let previous_log_level = result.map_err(|error| invalid("log_level", error))?;
        Ok(Response::new(v1::SetLogLevelResponse {
            previous_log_level,
        }))
    }
}

fn unavailable(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!(
        "the kernel could not be asked for its interfaces: {error}"
    ))
}

type ByInterface = BTreeMap<u32, Vec<String>>;

/// Names of running captures by interface.
fn captures_by_interface(manager: &Manager) -> ByInterface {
    let mut captures = ByInterface::new();
    for capture in manager.list() {
        if capture.state() == State::Running {
            let counts = capture.counts();
            for interface in &counts.totals.interfaces {
                let names = captures.entry(interface.ifindex).or_default();
                if names
                    .last()
                    .is_none_or(|last| *last != *counts.name.as_str())
                {
                    names.push(counts.name.to_string());
                }
            }
        }
    }
    captures
}

fn convert(interface: &Interface, captures: &ByInterface) -> v1::NetworkInterface {
    v1::NetworkInterface {
        name: interface.name.clone(),
        ifindex: interface.ifindex,
        up: interface.up,
        loopback: interface.is_loopback(),
        link_type: interface
            .link_type()
            .map(|link_type| u32::from(link_type.number())),
        hardware_address: interface.address.clone(),
        captures: captures
            .get(&interface.ifindex)
            .cloned()
            .unwrap_or_default(),
    }
}

async fn follow(
    manager: Manager,
    mut watch: Watch,
    mut present: Vec<Interface>,
    sink: Sink<v1::WatchInterfacesResponse>,
) -> Result<(), Gone> {
    /// Pause of a watch that fell behind, so that it gets all interfaces at once.
    const BREATH: Duration = Duration::from_millis(50);
    use v1::InterfaceEventType as Kind;
    let send = async |kind: Kind, interface: Option<&Interface>| {
        let captures = captures_by_interface(&manager);
        let interface = interface.map(|interface| convert(interface, &captures));
        let event = v1::WatchInterfacesResponse {
            r#type: kind.into(),
            interface,
        };
        sink.send(Ok(event)).await.map_err(Gone::from)
    };
    present.sort_by_key(|interface| interface.ifindex);
    for interface in &present {
        send(Kind::Present, Some(interface)).await?;
    }
    send(Kind::Synced, None).await?;
    let mut known: BTreeMap<u32, Interface> = present
        .into_iter()
        .map(|interface| (interface.ifindex, interface))
        .collect();
    while let Some(change) = watch.next().await {
        let (now, gone) = match change {
            interfaces::InterfaceChange::Present(interface) => (vec![interface], Vec::new()),
            interfaces::InterfaceChange::Gone { ifindex } => (Vec::new(), vec![ifindex]),
            interfaces::InterfaceChange::Filters { .. } => continue,
            interfaces::InterfaceChange::Resync(now) => {
                tokio::time::sleep(BREATH).await;
                let there = |ifindex: &u32| now.iter().any(|one| one.ifindex == *ifindex);
                let gone = known
                    .keys()
                    .copied()
                    .filter(|ifindex| !there(ifindex))
                    .collect();
                (now, gone)
            }
        };
        for ifindex in gone {
            if let Some(interface) = known.remove(&ifindex) {
                send(Kind::Removed, Some(&interface)).await?;
            }
        }
        for interface in now {
            let before = known.insert(interface.ifindex, interface.clone());
            match before {
                None => send(Kind::Added, Some(&interface)).await?,
                Some(before) if before != interface => {
                    send(Kind::Changed, Some(&interface)).await?;
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}
