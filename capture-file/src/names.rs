//! The records of a Name Resolution Block (draft-ietf-opsawg-pcapng, 4.5): an address and its names, each
//! followed by a zero byte.

use std::net::IpAddr;

use crate::{options::OptionList, packet::AddressNames};

/// `nrb_record_ipv4` and `nrb_record_ipv6`.
const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// Bytes after which records continue in another block.
const FULL: usize = 16 << 10;

/// Maximum bytes of a record that is written. A DNS name has at most 253 bytes; longer records are
/// skipped.
const LONGEST: usize = 4096;

/// The records of one block, in the byte order of this machine.
#[derive(Debug, Default)]
pub(crate) struct Records(OptionList);

impl Records {
    /// The records of these names, in as many blocks as are needed.
    pub(crate) fn of(names: &[AddressNames]) -> Vec<Self> {
        let mut blocks = Vec::new();
        let mut records = OptionList::default();
        for AddressNames { address, names } in names {
            let (kind, mut value) = match address {
                IpAddr::V4(address) => (IPV4, address.octets().to_vec()),
                IpAddr::V6(address) => (IPV6, address.octets().to_vec()),
            };
            let length = value.len();
            for name in names.iter().filter(|name| !name.contains('\0')) {
                if value.len() + name.len() < LONGEST {
                    value.extend(name.as_bytes());
                    value.push(0);
                }
            }
            if value.len() > length {
                records.push(kind, &value);
            }
            if records.len() >= FULL {
                blocks.push(Self(std::mem::take(&mut records)));
            }
        }
        if records.len() > 0 {
            blocks.push(Self(records));
        }
        blocks
    }

    /// Appends the body of the block.
    pub(crate) fn write(&self, body: &mut Vec<u8>) {
        self.0.write(body);
    }
}
