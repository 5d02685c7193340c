//! System calls that no safe library offers.

use std::{fs::File, os::fd::AsRawFd as _};

/// Starts writing a piece of a file to disk without waiting (sync_file_range(2)). Best effort: it
/// only bounds how much is in the page cache.
pub(crate) fn start_writeback(file: &File, offset: u64, length: u64) {
    sync_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE);
}

/// Waits until a piece of a file is on disk and drops it from the page cache. Best effort.
pub(crate) fn finish_writeback(file: &File, offset: u64, length: u64) {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, length, flags);
    if let Some(length) = std::num::NonZeroU64::new(length) {
        let _ = rustix::fs::fadvise(file, offset, Some(length), rustix::fs::Advice::DontNeed);
    }
}

fn sync_range(file: &File, offset: u64, length: u64, flags: libc::c_uint) {
    let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else {
        return;
    };
    // SAFETY: takes only integers; the descriptor is open as long as `file` is borrowed.
    #[expect(unsafe_code, reason = "rustix has no sync_file_range")]
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, flags) };
}

/// Lets the calling thread run only when nothing else wants the CPU (`SCHED_IDLE`, sched(7)), and use the
/// disk only when nothing else does (`IOPRIO_CLASS_IDLE`, ioprio_set(2)). Has no effect if the kernel
/// refuses.
pub(crate) fn run_when_idle() {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_IDLE: libc::c_int = 3 << 13;
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread; the parameters live until the call returns.
    #[expect(unsafe_code, reason = "rustix has no sched_setscheduler")]
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    // SAFETY: takes only integers; 0 is the calling thread.
    #[expect(unsafe_code, reason = "rustix has no ioprio_set")]
    let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE) };
}
