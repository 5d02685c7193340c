//! ICMP and `ICMPv6`, and the packet quoted in an error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::half;

/// An ICMP or `ICMPv6` message.
#[derive(Debug, Clone, Copy)]
pub struct Icmp<'a> {
    /// `ICMPv6`.
    pub v6: bool,
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The data after type, code and checksum.
    pub rest: &'a [u8],
}

/// The packet quoted in an ICMP error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// The sender of the packet that caused the error.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// Its transport protocol.
    pub protocol: u8,
    /// The ports, if the quote is long enough.
    pub ports: Option<(u16, u16)>,
    /// Its length according to its header.
    pub length: u16,
}

impl Icmp<'_> {
    /// The packet that an error refers to; `None` for other messages and truncated quotes.
    #[must_use]
    pub fn quote(&self) -> Option<Quote> {
        let error = if self.v6 {
            matches!(self.kind, 1..=4)
        } else {
            matches!(self.kind, 3..=5 | 11 | 12)
        };
        let data = self.rest.get(4..)?;
        if !error {
            return None;
        }
        let (source, destination, protocol, header, length) = if data.first()? >> 4 == 6 {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 16] = data.get(at..at + 16)?.try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(bytes)))
            };
            let length = half(data, 4)?.saturating_add(40);
            (address(8)?, address(24)?, *data.get(6)?, 40, length)
        } else {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
                Some(IpAddr::V4(Ipv4Addr::from(bytes)))
            };
            let header = usize::from(data.first()? & 15) * 4;
            let length = half(data, 2)?;
            (address(12)?, address(16)?, *data.get(9)?, header, length)
        };
        let ports = matches!(protocol, 6 | 17 | 132)
            .then(|| Some((half(data, header)?, half(data, header + 2)?)))
            .flatten();
        Some(Quote {
            source,
            destination,
            protocol,
            ports,
            length,
        })
    }

    /// The next hop's MTU, if the message is about a packet that was too big.
    #[must_use]
    pub fn mtu(&self) -> Option<u32> {
        if self.v6 && self.kind == 2 {
            return self
                .rest
                .first_chunk::<4>()
                .map(|mtu| u32::from_be_bytes(*mtu));
        }
        if !self.v6 && self.kind == 3 && self.code == 4 {
            return half(self.rest, 2).map(u32::from);
        }
        None
    }
}
