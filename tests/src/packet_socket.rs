//! `AF_PACKET` sockets: frames sent and received unchanged.

use std::{
    io,
    mem::{size_of, zeroed},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{netns::Namespace, wait};

/// `PACKET_VNET_HDR` of `linux/if_packet.h`: frames carry a [`VirtioHeader`].
const PACKET_VNET_HDR: libc::c_int = 15;
/// `PACKET_IGNORE_OUTGOING` of `linux/if_packet.h`, Linux 4.20.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// A raw socket on one interface.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
}

/// `struct virtio_net_hdr` of `linux/virtio_net.h`: tells the kernel that a frame still has to be
/// segmented, and which part of it has to be linear.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct VirtioHeader {
    /// 1: the checksum is still to be filled in.
    pub flags: u8,
    /// 1: TCP over IPv4; 4: TCP over IPv6.
    pub gso_type: u8,
    /// Bytes of headers, the linear part of the packet.
    pub header_length: u16,
    /// Bytes of payload per segment.
    pub gso_size: u16,
    /// Where checksumming starts.
    pub checksum_start: u16,
    /// Where the checksum goes, from there.
    pub checksum_offset: u16,
}

const VIRTIO_HEADER: usize = size_of::<VirtioHeader>();

impl VirtioHeader {
    fn bytes(self) -> [u8; VIRTIO_HEADER] {
        let mut bytes = [0; VIRTIO_HEADER];
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        bytes[2..4].copy_from_slice(&self.header_length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.gso_size.to_ne_bytes());
        bytes[6..8].copy_from_slice(&self.checksum_start.to_ne_bytes());
        bytes[8..10].copy_from_slice(&self.checksum_offset.to_ne_bytes());
        bytes
    }
}

impl PacketSocket {
    /// Opens a socket that sends and receives every frame of the interface.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let ifindex = namespace.ifindex(interface)?;
        namespace
            .run(|| open(ifindex, libc::ETH_P_ALL))
            .with_context(|| format!("opening a packet socket on {interface}"))
    }

    /// Opens a socket that only sends.
    pub fn sender(namespace: &Namespace, interface: &str) -> Result<Self> {
        let ifindex = namespace.ifindex(interface)?;
        namespace
            .run(|| open(ifindex, 0))
            .with_context(|| format!("opening a packet socket on {interface}"))
    }

    /// Sends one frame; waits while the queue is full.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        wait::until("room in the send queue", || match self.send_once(frame) {
            Ok(sent) => {
                ensure!(sent == frame.len(), "only {sent} bytes of {}", frame.len());
                Ok(Some(()))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(None),
            Err(error) => Err(error.into()),
        })
        .with_context(|| format!("sending a frame of {} bytes", frame.len()))
    }

    /// Sends each frame once, in order.
    pub fn send_all<'a>(&self, frames: impl IntoIterator<Item = &'a Vec<u8>>) -> Result<()> {
        frames.into_iter().try_for_each(|frame| self.send(frame))
    }

    /// From now on each frame sent must begin with a header; see [`Self::send_unsegmented`].
    pub fn with_virtio_headers(self) -> Result<Self> {
        set_option(&self.socket, PACKET_VNET_HDR, 1).context("PACKET_VNET_HDR")?;
        Ok(self)
    }

    /// From now on only incoming frames are received.
    pub fn only_incoming(self) -> Result<Self> {
        set_option(&self.socket, PACKET_IGNORE_OUTGOING, 1).context("PACKET_IGNORE_OUTGOING")?;
        Ok(self)
    }

    /// Sends a frame that the kernel may leave unsegmented at any length.
    pub fn send_unsegmented(&self, header: VirtioHeader, frame: &[u8]) -> Result<()> {
        let mut bytes = header.bytes().to_vec();
        bytes.extend_from_slice(frame);
        self.send(&bytes)
    }

    fn send_once(&self, frame: &[u8]) -> io::Result<usize> {
        // SAFETY: the pointer and the length are those of a live slice, which is only read.
        #[expect(unsafe_code, reason = "send(2) on a raw socket")]
        let sent = unsafe {
            libc::send(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Receives this many frames, in order of arrival; an error if they do not arrive.
    pub fn receive(&self, count: usize) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::with_capacity(count);
        let mut buffer = vec![0; 1 << 18];
        while frames.len() < count {
            let received = self.receive_once(&mut buffer, wait::PATIENCE)?;
            let length =
                received.with_context(|| format!("{} of {count} frames arrived", frames.len()))?;
            frames.push(buffer[..length].to_vec());
        }
        Ok(frames)
    }

    /// Receives one frame; `None` if none arrived in time.
    fn receive_once(&self, buffer: &mut [u8], patience: Duration) -> Result<Option<usize>> {
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = i32::try_from(patience.as_millis())?;
        // SAFETY: one pollfd, as stated, that lives through the call.
        #[expect(unsafe_code, reason = "poll(2)")]
        if unsafe { libc::poll(&raw mut poll, 1, timeout) } == 0 {
            return Ok(None);
        }
        // SAFETY: the pointer and the length are those of a live slice that nothing else uses.
        #[expect(unsafe_code, reason = "recv(2) on a raw socket")]
        let received = unsafe {
            libc::recv(
                self.socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
            )
        };
        let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(Some(length))
    }
}

fn open(ifindex: u32, protocol: libc::c_int) -> Result<PacketSocket> {
    let protocol = u16::try_from(protocol)?.to_be();
    // Opened without a protocol and bound afterwards, so that no frame of another interface is
    // received.
    // SAFETY: no pointers.
    #[expect(unsafe_code, reason = "socket(2) of a family that std does not know")]
    let socket = unsafe {
        let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error().into());
        }
        OwnedFd::from_raw_fd(socket)
    };
    // Room for everything that a test sends before it reads; as root beyond rmem_max.
    set_level_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 64 << 20)
        .context("SO_RCVBUFFORCE")?;
    // SAFETY: all zero is a valid address structure.
    #[expect(unsafe_code, reason = "a C structure without a constructor")]
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET)?;
    address.sll_protocol = protocol;
    address.sll_ifindex = i32::try_from(ifindex)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>())?;
    // SAFETY: the address is a live sockaddr_ll of the given length.
    #[expect(unsafe_code, reason = "bind(2) to an address that std does not know")]
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if bound < 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(PacketSocket { socket })
}

fn set_option(socket: &OwnedFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_level_option(socket, libc::SOL_PACKET, option, value)
}

fn set_level_option(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the value is a live int of the given length; 4 fits.
    #[expect(unsafe_code, reason = "setsockopt(2)")]
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
