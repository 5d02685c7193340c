//! Stops one thread of another process while the others continue (ptrace(2)).

use std::{fs, io, ptr::null_mut};

use anyhow::{Context as _, Result, ensure};

/// A thread that is stopped until this is dropped, which must happen on the thread that created it.
#[derive(Debug)]
pub struct StoppedThread(libc::pid_t);

impl StoppedThread {
    /// Stops the thread of this name.
    pub fn of(process: u32, name: &str) -> Result<Self> {
        let mut found = None;
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.trim_end() == name {
                found = task.file_name().map(ToOwned::to_owned);
            }
        }
        let thread = found.with_context(|| format!("process {process} has no thread {name}"))?;
        let thread = thread.to_str().context("not a number")?.parse()?;
        ptrace(libc::PTRACE_SEIZE, thread)?;
        // From here on it is released in any case.
        let stopped = Self(thread);
        ptrace(libc::PTRACE_INTERRUPT, thread)?;
        let mut status = 0;
        // SAFETY: the pointer is to a live integer, which waitpid(2) fills in.
        #[expect(unsafe_code, reason = "std waits for processes only")]
        let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
        ensure!(waited == thread, io::Error::last_os_error());
        Ok(stopped)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        // It fails if the thread has ended.
        let _ = ptrace(libc::PTRACE_DETACH, self.0);
    }
}

fn ptrace(request: libc::c_uint, thread: libc::pid_t) -> io::Result<()> {
    let nothing = null_mut::<libc::c_void>();
    // SAFETY: these requests neither read nor write memory of this process.
    #[expect(unsafe_code, reason = "ptrace(2) has no wrapper")]
    let result = unsafe { libc::ptrace(request, thread, nothing, nothing) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
