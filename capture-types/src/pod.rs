//! Kubernetes pods whose packets are captured, and their states.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use crate::values::ValueError;

/// Maximum pods of a capture.
pub const MAX_PODS: usize = 1024;
/// Maximum addresses of a pod.
pub const MAX_POD_ADDRESSES: usize = 16;
/// Maximum containers of a pod that are listed.
pub const MAX_CONTAINERS: usize = 64;

/// The pods of one capture; if empty, the capture waits for some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSelection {
    /// The pods, each once.
    pub pods: Vec<Pod>,
    /// Whether a packet between two of them is kept at both interfaces that it passes.
    #[serde(default)]
    pub every_interface: bool,
}

/// A pod of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its namespace and name.
    pub id: PodId,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The names of its containers.
    pub containers: Vec<String>,
    /// Whether it shares the node's network.
    pub host_network: bool,
}

/// Identifies a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Distinguishes it from an earlier pod of the same name; may be empty.
    pub uid: String,
}

impl PodId {
    /// A pod by its namespace, name and uid.
    ///
    /// # Errors
    /// The invalid field, and what is valid.
    pub fn new(namespace: &str, name: &str, uid: &str) -> Result<Self, (&'static str, ValueError)> {
        pod_namespace(namespace).map_err(|error| ("namespace", error))?;
        pod_name(name).map_err(|error| ("name", error))?;
        pod_uid(uid).map_err(|error| ("uid", error))?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        })
    }

    /// `NAME.NAMESPACE`: the name of its addresses in capture files.
    #[must_use]
    pub fn host_name(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }
}

/// `NAMESPACE/NAME`.
impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How a pod's packets are captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodAttachment {
    /// Not yet: it has no interface on this node.
    #[default]
    Waiting,
    /// At its own host-side interface.
    Interface,
    /// By its addresses, on the node's interfaces.
    Address,
    /// Not captured.
    Unreachable,
}

/// The state of a pod of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodState {
    /// The pod.
    pub id: PodId,
    /// How its packets are captured.
    pub attachment: PodAttachment,
    /// The index of its host-side interface; 0 without one.
    pub ifindex: u32,
    /// The name of its host-side interface; empty without one.
    pub interface: String,
    /// A sentence of explanation; may be empty.
    pub message: String,
}

/// An address that a pod can have; an IPv4 address written as IPv6 becomes IPv4.
///
/// # Errors
/// The kind of the address, if it belongs to many hosts or none.
pub fn pod_address(text: &str) -> Result<IpAddr, ValueError> {
    let Ok(address) = text.parse::<IpAddr>() else {
        return wrong("give an IPv4 or IPv6 address, as in status.podIPs");
    };
    let address = address.to_canonical();
    let link_local = matches!(address, IpAddr::V6(v6) if is_link_local(v6));
    let what = if address.is_unspecified() {
        "it is the unspecified address"
    } else if address.is_loopback() {
        "it is a loopback address"
    } else if address.is_multicast() || address == IpAddr::from([255; 4]) {
        "it is a multicast or broadcast address"
    } else if link_local {
        "it is a link-local address"
    } else {
        return Ok(address);
    };
    wrong(format!("{what}: give the pod's own address"))
}

const fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// The name of a container: a DNS label.
///
/// # Errors
/// What a valid label is.
pub fn container_name(text: &str) -> Result<String, ValueError> {
    label(text).map(|()| text.to_owned())
}

fn pod_namespace(text: &str) -> Result<(), ValueError> {
    label(text)
}

fn pod_name(text: &str) -> Result<(), ValueError> {
    const LONGEST: usize = 253;
    if text.len() > LONGEST || !text.split('.').all(is_label) {
        return wrong(
            "it is not the name of a pod: use at most 253 of a-z, 0-9, '-' and '.', with a letter or \
             digit at both ends of each part",
        );
    }
    Ok(())
}

fn pod_uid(text: &str) -> Result<(), ValueError> {
    const LONGEST: usize = 64;
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() > LONGEST || !text.bytes().all(is_fit) {
        return wrong("it is not a uid: use at most 64 of a-z, A-Z, 0-9, '-', '_' and '.'");
    }
    Ok(())
}

fn label(text: &str) -> Result<(), ValueError> {
    if !is_label(text) || text.len() > 63 {
        return wrong(
            "it is not a DNS label: use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
        );
    }
    Ok(())
}

fn is_label(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = text.as_bytes();
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| is_end(Some(byte)) || *byte == b'-')
}

fn wrong<T>(what_would_be_right: impl Into<String>) -> Result<T, ValueError> {
    Err(ValueError::new(what_would_be_right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_would_refuse_are_refused() {
        for (namespace, name, uid, field) in [
            ("", "web", "", "namespace"),
            ("Shop", "web", "", "namespace"),
            ("a.b", "web", "", "namespace"),
            (&"x".repeat(64), "web", "", "namespace"),
            ("shop", "", "", "name"),
            ("shop", "-web", "", "name"),
            ("shop", "web-", "", "name"),
            ("shop", "web..1", "", "name"),
            ("shop", "../web", "", "name"),
            ("shop", "web\n", "", "name"),
            ("shop", &"x".repeat(254), "", "name"),
            ("shop", "web", "a b", "uid"),
            ("shop", "web", &"x".repeat(65), "uid"),
        ] {
            let (wrong, error) = PodId::new(namespace, name, uid).expect_err(name);
            assert_eq!(wrong, field, "{error}");
        }
        let pod = PodId::new("shop", "web-0.a", "6f1c").expect("a name");
        assert_eq!(pod.to_string(), "shop/web-0.a");
        assert_eq!(pod.host_name(), "web-0.a.shop");
        assert!(container_name("App").is_err());
        assert_eq!(container_name("app-1"), Ok("app-1".to_owned()));
    }

    #[test]
    fn an_address_is_of_one_host() {
        for bad in [
            "",
            "10.0.0.0/8",
            "0.0.0.0",
            "::",
            "127.0.0.1",
            "::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "fe80::1",
            "web",
        ] {
            assert!(pod_address(bad).is_err(), "{bad:?}");
        }
        assert_eq!(pod_address("10.244.1.7"), Ok(IpAddr::from([10, 244, 1, 7])));
        assert_eq!(
            pod_address("::ffff:10.0.0.7"),
            Ok(IpAddr::from([10, 0, 0, 7]))
        );
        assert!(pod_address("2001:db8::7").is_ok());
    }
}
