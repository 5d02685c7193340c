//! Pseudonyms: keyed, and of the same kind as what they stand for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Makes pseudonyms with a key.
pub(super) struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    pub(super) fn new(key: &[u8]) -> Self {
        // A key of any length is valid; a longer one is hashed first.
        let mac = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self(mac)
    }

    fn digest(&self, text: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The pseudonym of a text.
    pub(super) fn of(&self, text: &str) -> String {
        if let Ok(address) = text.parse::<IpAddr>() {
            return self.address(address).to_string();
        }
        let [a, b, c, d, e, ..] = self.digest(text);
        if is_mac(text) {
            // Locally administered, so that it is no maker's.
            return format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}");
        }
        format!("x{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}")
    }

    /// An address in a range that is no network's: 240.0.0.0/4 (RFC 1112) or 2001:db8::/32 (RFC 3849).
    pub(super) fn address(&self, address: IpAddr) -> IpAddr {
        let digest = self.digest(&address.to_string());
        match address {
            IpAddr::V4(_) => {
                let [a, b, c, d, ..] = digest;
                Ipv4Addr::new(0xf0 | a & 0x0f, b, c, d).into()
            }
            IpAddr::V6(_) => {
                let mut octets = [0; 16];
                octets.copy_from_slice(&digest[..16]);
                octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
                Ipv6Addr::from(octets).into()
            }
        }
    }
}

/// `aa:bb:cc:dd:ee:ff`.
pub(super) fn is_mac(text: &str) -> bool {
    text.len() == 17
        && text
            .split(':')
            .all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
