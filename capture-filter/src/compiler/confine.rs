//! Confines the compiling process.

use std::{io, mem::offset_of};

use rustix::{
    process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit},
    thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs},
};

use crate::error::{MAX_COMPILE_MEMORY, MAX_COMPILE_TIME};

/// Descriptors for libpcap's files with names of ports and protocols.
const MAX_DESCRIPTORS: u64 = 32;

/// Drops all privileges that compiling does not need. To be called before any thread is started.
pub(super) fn confine() -> io::Result<()> {
    // If the parent is gone, nobody needs the answer.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    close_inherited()?;
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    for (resource, most) in [
        (Resource::Cpu, MAX_COMPILE_TIME.as_secs()),
        (Resource::As, MAX_COMPILE_MEMORY),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, MAX_DESCRIPTORS),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    // Packet processing has priority.
    nice(10)?;
    Ok(())
}

/// Closes descriptors that a library has opened before without `O_CLOEXEC`.
fn close_inherited() -> io::Result<()> {
    // SAFETY: nothing in this process has opened a descriptor above the standard ones yet.
    #[expect(unsafe_code, reason = "rustix has no close_range(2)")]
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    match io::Error::last_os_error() {
        _ if result == 0 => Ok(()),
        // Before Linux 5.9: std opens every descriptor with O_CLOEXEC.
        error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        error => Err(error),
    }
}

/// Makes socket(2) fail, so that libpcap looks up names only in the files of this machine and never
/// waits for a server.
pub(super) fn without_network() -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let insn = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut insns = [
        insn(LOAD, 0, 0, offset_of!(libc::seccomp_data, nr) as u32),
        insn(EQUAL, 0, 1, libc::SYS_socket as u32),
        insn(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EACCES as u32),
        insn(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: insns.len() as u16,
        filter: insns.as_mut_ptr(),
    };
    // SAFETY: `program` and the instructions it points to live until the call returns; the kernel
    // copies them.
    #[expect(unsafe_code, reason = "rustix has no seccomp filters")]
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
