//! Tunnels that a filter decodes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A tunnel to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its protocol.
    pub protocol: TunnelProtocol,
    /// The UDP destination port. Without one, every UDP packet counts whose tunnel header has all
    /// reserved bits 0 and which carries Ethernet.
    pub port: Option<u16>,
}

/// A tunnel's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelProtocol {
    /// RFC 7348; usually on port 4789.
    Vxlan,
    /// RFC 8926; usually on port 6081.
    Geneve,
}

impl Tunnel {
    /// Either protocol, on any port.
    pub const ANY: [Self; 2] = [
        Self {
            protocol: TunnelProtocol::Vxlan,
            port: None,
        },
        Self {
            protocol: TunnelProtocol::Geneve,
            port: None,
        },
    ];
}

/// An invalid tunnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tunnel {0:?}: give vxlan, vxlan:PORT, geneve or geneve:PORT, with a port of 1 to 65535")]
pub struct TunnelError(String);

impl FromStr for Tunnel {
    type Err = TunnelError;

    fn from_str(text: &str) -> Result<Self, TunnelError> {
        let wrong = || TunnelError(text.to_owned());
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => {
                let port: u16 = port.parse().map_err(|_| wrong())?;
                (name, Some(port).filter(|port| *port != 0))
            }
        };
        if text.contains(':') && port.is_none() {
            return Err(wrong());
        }
        let protocol = match name {
            "vxlan" => TunnelProtocol::Vxlan,
            "geneve" => TunnelProtocol::Geneve,
            _ => return Err(wrong()),
        };
        Ok(Self { protocol, port })
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.protocol {
            TunnelProtocol::Vxlan => "vxlan",
            TunnelProtocol::Geneve => "geneve",
        })?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
