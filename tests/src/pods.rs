//! A node with pods, set up like by a CNI plug-in: network namespaces, each joined by a veth pair to a bridge
//! of the node.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::netns::{Namespace, run};

/// A node: its bridge `cni0` has 10.244.0.1, its uplink `eth0` 10.9.0.1, and the outside world at the
/// uplink's other end 10.9.0.2.
#[derive(Debug)]
pub struct Node {
    /// The node's network namespace.
    pub namespace: Namespace,
    /// The network namespace at the node's uplink.
    pub world: Namespace,
}

/// A pod's network namespace, in which `eth0` has 10.244.0.NUMBER.
#[derive(Debug)]
pub struct PodNamespace {
    /// The namespace.
    pub namespace: Namespace,
    /// Its address.
    pub address: Ipv4Addr,
    /// The node's interface at the other end.
    pub interface: String,
}

/// The UDP port that pods send to.
pub const PORT: u16 = 4001;

impl Node {
    /// A node without pods.
    pub fn new() -> Result<Self> {
        let node = Self {
            namespace: Namespace::new()?,
            world: Namespace::new()?,
        };
        let (here, there) = (&node.namespace, &node.world);
        here.ip("link add cni0 address 02:00:00:00:f4:01 type bridge mcast_snooping 0")?;
        here.ip("addr add 10.244.0.1/24 dev cni0")?;
        here.ip("link set cni0 up")?;
        here.ip(&format!(
            "link add eth0 address 02:00:00:00:09:01 type veth peer name eth0 address \
             02:00:00:00:09:02 netns {}",
            there.name()
        ))?;
        for (namespace, own, other) in [(here, 1, 2), (there, 2, 1)] {
            namespace.ip("link set eth0 up")?;
            namespace.ip(&format!("addr add 10.9.0.{own}/24 dev eth0"))?;
            namespace.ip(&format!(
                "neigh replace 10.9.0.{other} lladdr 02:00:00:00:09:0{other} dev eth0"
            ))?;
        }
        Ok(node)
    }

    /// A pod whose address ends in this number, between 2 and 99. It knows the hardware addresses of the
    /// pods with the numbers in `peers`, and they know the pod's if they were created with its number; so
    /// the only packets are those that a test sends.
    pub fn pod(&self, number: u8, peers: &[u8]) -> Result<PodNamespace> {
        let pod = self.pod_without_address(number)?;
        pod.take_address(peers)?;
        Ok(pod)
    }

    /// The same without its address yet.
    pub fn pod_without_address(&self, number: u8) -> Result<PodNamespace> {
        let namespace = Namespace::new()?;
        let interface = format!("veth{number}");
        let node = &self.namespace;
        node.ip(&format!(
            "link add {interface} type veth peer name eth0 address {} netns {}",
            mac(number),
            namespace.name()
        ))?;
        node.ip(&format!("link set {interface} master cni0"))?;
        node.ip(&format!("link set {interface} up"))?;
        // Permanent entries: the bridge floods nothing.
        run(
            "bridge",
            &[
                "-n",
                node.name(),
                "fdb",
                "replace",
                &mac(number),
                "dev",
                &interface,
                "master",
                "static",
            ],
        )?;
        node.ip(&format!(
            "neigh replace {} lladdr {} dev cni0",
            address(number),
            mac(number)
        ))?;
        namespace.ip("link set eth0 up")?;
        Ok(PodNamespace {
            namespace,
            address: address(number),
            interface,
        })
    }
}

impl PodNamespace {
    /// Assigns the pod's address.
    pub fn take_address(&self, peers: &[u8]) -> Result<()> {
        let namespace = &self.namespace;
        namespace.ip(&format!("addr add {}/24 dev eth0", self.address))?;
        namespace.ip("route replace default via 10.244.0.1 dev eth0")?;
        namespace.ip("neigh replace 10.244.0.1 lladdr 02:00:00:00:f4:01 dev eth0")?;
        for peer in peers {
            namespace.ip(&format!(
                "neigh replace {} lladdr {} dev eth0",
                address(*peer),
                mac(*peer)
            ))?;
        }
        Ok(())
    }
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, number)
}

fn mac(number: u8) -> String {
    format!("02:00:00:00:f5:{number:02x}")
}

/// Sends this many UDP datagrams from one namespace to an address of another, and waits until all of
/// them have arrived there.
pub fn send(from: &Namespace, to: &Namespace, address: Ipv4Addr, count: u32) -> Result<()> {
    let receiver = to.run(|| UdpSocket::bind(SocketAddr::from((address, PORT))))?;
    receiver.set_read_timeout(Some(Duration::from_secs(20)))?;
    let sender = from.run(|| UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))?;
    let mut buffer = [0; 64];
    for number in 0..count {
        sender.send_to(&number.to_be_bytes(), (address, PORT))?;
        // One at a time: no queue on the path overflows.
        let length = receiver
            .recv(&mut buffer)
            .with_context(|| format!("datagram {number} of {count} to {address}"))?;
        ensure!(buffer[..length] == number.to_be_bytes(), "another datagram");
    }
    Ok(())
}
