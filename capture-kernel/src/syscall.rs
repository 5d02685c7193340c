//! System calls that no library wraps: bpf(2) for TCX links by ifindex (aya attaches by name, and names
//! change), adjtimex(2) and membarrier(2). Every function here is safe to call with any arguments.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{BPF_F_BEFORE, bpf_attach_type, bpf_cmd};
use capture_filter::kernel::syscall::{bpf, zeroed};

/// Attaches a program before all others at an interface's TCX hook (kernel 6.6). The program stays
/// attached as long as the descriptor is open.
pub fn tcx_link_create(
    program: BorrowedFd<'_>,
    ifindex: u32,
    hook: bpf_attach_type,
) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = fd(program);
    attr.link_create.__bindgen_anon_2.target_ifindex = ifindex;
    attr.link_create.attach_type = hook as u32;
    attr.link_create.flags = BPF_F_BEFORE;
    // SAFETY: no pointer in the attribute is read.
    #[expect(unsafe_code, reason = "bpf(2)")]
    let link = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr) }?;
    let link = RawFd::try_from(link).map_err(io::Error::other)?;
    // SAFETY: the kernel has just created this descriptor for us and nothing else owns it.
    #[expect(unsafe_code, reason = "bpf(2) gives descriptors as numbers")]
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// Replaces a link's program in one step: each packet passes either the old one or the new one.
pub fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_update.link_fd = fd(link);
    attr.link_update.__bindgen_anon_1.new_prog_fd = fd(program);
    // SAFETY: no pointer in the attribute is read.
    #[expect(unsafe_code, reason = "bpf(2)")]
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr) }.map(drop)
}

/// Whether the system clock is synchronised, and its largest error (adjtimex(2)).
pub fn clock_state() -> io::Result<(bool, std::time::Duration)> {
    // SAFETY: all zeroes are a valid timex, which reads the state and sets nothing.
    #[expect(unsafe_code, reason = "adjtimex(2) has no wrapper")]
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to this timex only, within its size.
    #[expect(unsafe_code, reason = "adjtimex(2) has no wrapper")]
    let result = unsafe { libc::adjtimex(&raw mut state) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let synchronised = result != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0;
    let microseconds = u64::try_from(state.maxerror).unwrap_or(0);
    Ok((synchronised, std::time::Duration::from_micros(microseconds)))
}

/// Waits for an RCU grace period, after which every program that runs now has returned: the global
/// command of membarrier(2) waits for one (kernel 4.3).
pub fn wait_for_grace_period() -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory.
    #[expect(unsafe_code, reason = "libc has no wrapper for membarrier(2)")]
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A change of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// Begin it.
    Add,
    /// End it.
    Drop,
}

/// Begins or ends a packet socket's request for an interface's promiscuous mode (packet(7)).
pub fn promiscuous_membership(
    socket: BorrowedFd<'_>,
    ifindex: u32,
    membership: Membership,
) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: ifindex.cast_signed(),
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    let option = match membership {
        Membership::Add => libc::PACKET_ADD_MEMBERSHIP,
        Membership::Drop => libc::PACKET_DROP_MEMBERSHIP,
    };
    // SAFETY: the kernel reads the request within the size given, during the call.
    #[expect(unsafe_code, reason = "rustix has no PACKET_ADD_MEMBERSHIP")]
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const request).cast(),
            size_of::<libc::packet_mreq>() as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The revision of the TCX programs at a hook (kernel 6.6), which changes whenever one is attached,
/// replaced or detached.
pub fn tcx_revision(ifindex: u32, hook: bpf_attach_type) -> io::Result<u64> {
    let mut attr = zeroed();
    attr.query.__bindgen_anon_1.target_ifindex = ifindex;
    attr.query.attach_type = hook as u32;
    // SAFETY: without room for program numbers the kernel reads no pointer of the attribute.
    #[expect(unsafe_code, reason = "bpf(2)")]
    unsafe { bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr) }?;
    // SAFETY: every field of the union is a struct of integers, valid whatever its bytes are.
    #[expect(unsafe_code, reason = "the kernel answers in a union")]
    Ok(unsafe { attr.query.revision })
}

fn fd(fd: BorrowedFd<'_>) -> u32 {
    // A borrowed descriptor is never negative.
    fd.as_raw_fd().cast_unsigned()
}
