//! The kernel's own classic BPF on a socket, to compare filters with.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use crate::ClassicProgram;

/// Attaches a classic program to a socket (`SO_ATTACH_FILTER`, socket(7)).
///
/// # Errors
///
/// `EINVAL` for a program that the kernel rejects.
pub fn attach(socket: BorrowedFd<'_>, program: &ClassicProgram) -> io::Result<()> {
    let mut insns: Vec<libc::sock_filter> = program
        .instructions()
        .iter()
        .map(|insn| libc::sock_filter {
            code: insn.code,
            jt: insn.jt,
            jf: insn.jf,
            k: insn.k,
        })
        .collect();
    let filter = libc::sock_fprog {
        len: u16::try_from(insns.len()).map_err(io::Error::other)?,
        filter: insns.as_mut_ptr(),
    };
    // SAFETY: `filter` and the instructions it points to live until the call returns; the kernel
    // copies them.
    #[expect(unsafe_code, reason = "rustix has no SO_ATTACH_FILTER")]
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
