//! A tun device: an interface without link-layer headers.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::fd::AsRawFd as _,
};

use anyhow::{Context as _, Result};

use crate::netns::Namespace;

/// `_IOW('T', 202, int)` of `linux/if_tun.h`.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;

/// `_IOW('T', 205, int)`.
const TUNSETLINK: libc::Ioctl = 0x4004_54cd;
/// A hardware type whose packets are neither Ethernet nor IP (`ARPHRD_IEEE802154` of `linux/if_arp.h`).
const IEEE802154: libc::c_int = 804;

/// A tun device; it exists as long as this value. Writes are received by the interface, and packets
/// sent by the interface can be read.
#[derive(Debug)]
pub struct Tun {
    file: File,
}

impl Tun {
    /// Creates a device and sets it up.
    pub fn new(namespace: &Namespace, name: &str) -> Result<Self> {
        let file = namespace
            .run(|| open(name))
            .context("making a tun device")?;
        namespace.ip(&format!("link set {name} up"))?;
        Ok(Self { file })
    }

    /// Creates a device that claims to carry packets of another kind; it is down.
    pub fn of_another_kind(namespace: &Namespace, name: &str) -> Result<Self> {
        let file = namespace
            .run(|| open(name))
            .context("making a tun device")?;
        // SAFETY: the argument is a number.
        #[expect(unsafe_code, reason = "ioctl(2) that std does not know")]
        let outcome = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETLINK, IEEE802154) };
        if outcome < 0 {
            return Err(io::Error::last_os_error()).context("TUNSETLINK");
        }
        Ok(Self { file })
    }

    /// Makes the interface receive a packet.
    pub fn send(&mut self, packet: &[u8]) -> Result<()> {
        Ok(self.file.write_all(packet)?)
    }

    /// Reads a packet that the interface sent; waits for one.
    pub fn receive(&mut self) -> Result<Vec<u8>> {
        let mut packet = vec![0; 1 << 16];
        let length = self.file.read(&mut packet)?;
        packet.truncate(length);
        Ok(packet)
    }
}

fn open(name: &str) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("opening /dev/net/tun")?;
    // struct ifreq: 16 bytes of name, then the flags.
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    let flags = u16::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the request is 40 live bytes, the size of struct ifreq, and the kernel keeps no pointer.
    #[expect(unsafe_code, reason = "ioctl(2) that std does not know")]
    let outcome = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    if outcome < 0 {
        return Err(io::Error::last_os_error()).context("TUNSETIFF");
    }
    Ok(file)
}
