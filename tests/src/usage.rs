//! The resources that a process uses.

use std::{
    fs, io, mem::zeroed, os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration,
};

use anyhow::{Context as _, Result};

/// Resources a process used from start to end.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// Peak resident memory in bytes.
    pub memory: u64,
}

/// Reaps a child if it has ended; returns its status and the resources it used.
pub fn try_wait(process: u32) -> io::Result<Option<(ExitStatus, Usage)>> {
    let process = libc::pid_t::try_from(process).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: all zero is a valid rusage; it contains only integers.
    #[expect(unsafe_code, reason = "a C structure without a constructor")]
    let mut usage: libc::rusage = unsafe { zeroed() };
    let (status_at, usage_at) = (&raw mut status, &raw mut usage);
    // SAFETY: both pointers are to live values of the types that wait4(2) fills in.
    #[expect(unsafe_code, reason = "std's wait knows no CPU time")]
    let reaped = unsafe { libc::wait4(process, status_at, libc::WNOHANG, usage_at) };
    match reaped {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some((
            ExitStatus::from_raw(status),
            Usage {
                cpu: time(usage.ru_utime) + time(usage.ru_stime),
                memory: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
            },
        ))),
    }
}

fn time(value: libc::timeval) -> Duration {
    let seconds = u64::try_from(value.tv_sec).unwrap_or(0);
    let micros = u64::try_from(value.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// CPU time of a process's living threads so far; with a name, only of threads whose name contains it.
pub fn cpu_time(process: u32, thread_name: Option<&str>) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        if let Some(name) = thread_name
            && !fs::read_to_string(task.join("comm"))?.contains(name)
        {
            continue;
        }
        let text = fs::read_to_string(task.join("schedstat"))?;
        let field = text.split_whitespace().next();
        nanoseconds += field
            .context("an empty schedstat")?
            .parse::<u64>()
            .context("schedstat")?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The children of a process at the moment.
#[must_use]
pub fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let ids = text.split_whitespace().map(str::parse);
        ids.collect::<Result<Vec<u32>, _>>().unwrap_or_default()
    };
    let threads = threads.into_iter().flatten().flatten();
    threads.flat_map(of_thread).collect()
}

/// Peak memory of a process in bytes; nothing if it has ended.
#[must_use]
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some(kibibytes(&status, "VmHWM:")? << 10)
}

/// Peak memory of a process in bytes, without buffers shared with the kernel: a BPF map or the ring of
/// a packet socket.
pub fn peak_memory_beside_rings(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = kibibytes(&status, "VmHWM:").context("no VmHWM")?;
    let maps = fs::read_to_string(format!("/proc/{process}/smaps"))?;
    let mut of_rings = 0;
    let mut in_ring = false;
    for line in maps.lines() {
        // A mapping begins with its addresses, and ends with its file.
        if line.split_whitespace().count() >= 5 && line.contains('-') {
            in_ring = line.contains("bpf-map") || line.contains("socket:[");
        } else if in_ring && line.starts_with("Rss:") {
            of_rings += kibibytes(line, "Rss:").unwrap_or(0);
        }
    }
    Ok(peak.saturating_sub(of_rings) << 10)
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
