//! The daemon's own packets: those of TCP connections to its listeners.

use std::net::{IpAddr, SocketAddr};

use capture_common::OWN_ENDPOINTS;

/// The TCP endpoints on which this process listens, in the form that the eBPF programs use. At most
/// [`OWN_ENDPOINTS`] are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnEndpoints {
    /// In network byte order; 0 for unused entries.
    ports: [u16; OWN_ENDPOINTS],
    /// In network byte order, IPv4 addresses mapped to IPv6; 0 for every address.
    addresses: [[u32; 4]; OWN_ENDPOINTS],
}

impl OwnEndpoints {
    /// The ports as one number, the first one in its lowest 16 bits.
    pub(super) fn ports(&self) -> u64 {
        let ports = (0..).zip(self.ports);
        ports.fold(0, |all, (at, port)| all | u64::from(port) << (16 * at))
    }

    /// The addresses.
    pub(super) const fn addresses(&self) -> &[[u32; 4]; OWN_ENDPOINTS] {
        &self.addresses
    }
}

impl FromIterator<SocketAddr> for OwnEndpoints {
    fn from_iter<T: IntoIterator<Item = SocketAddr>>(endpoints: T) -> Self {
        let mut own = Self::default();
        let known = endpoints
            .into_iter()
            .filter(|endpoint| endpoint.port() != 0);
        for (at, endpoint) in known.take(OWN_ENDPOINTS).enumerate() {
            own.ports[at] = endpoint.port().to_be();
            own.addresses[at] = address(endpoint.ip());
        }
        own
    }
}

fn address(address: IpAddr) -> [u32; 4] {
    let octets = match address {
        address if address.is_unspecified() => [0; 16],
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(octets.chunks_exact(4)) {
        *word = bytes.try_into().map_or(0, u32::from_ne_bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::OwnEndpoints;

    #[test]
    fn endpoints_are_laid_out_as_the_programs_compare_them() {
        let endpoints = [
            "10.0.0.1:9443",
            "0.0.0.0:9100",
            "[2001:db8::1]:258",
            "[::]:0",
        ];
        let own: OwnEndpoints = endpoints.iter().map(|text| text.parse().unwrap()).collect();
        let ports = own.ports().to_le_bytes();
        assert_eq!(
            &ports[..6],
            [0x24, 0xe3, 0x23, 0x8c, 1, 2],
            "as in a packet"
        );
        assert_eq!(ports[6..], [0, 0], "an unknown port is skipped");
        let bytes = |at: usize| own.addresses()[at].map(u32::to_ne_bytes).concat();
        assert_eq!(
            bytes(0),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]
        );
        assert_eq!(bytes(1), [0; 16], "every address");
        assert_eq!(bytes(2)[..4], [0x20, 0x01, 0x0d, 0xb8]);
    }
}
