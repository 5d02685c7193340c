//! Loads generated instructions as a program, without an object file around them.

use std::{
    ffi::c_char,
    io,
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_type};

use super::syscall::{bpf, zeroed};
use crate::BpfInsn;

/// The kernel rejected a program.
#[derive(Debug, thiserror::Error)]
#[error("the kernel rejected the program {name} of {length} instructions: {source}{}", said(.log))]
pub struct LoadError {
    /// The program's name.
    pub name: String,
    /// Its number of instructions.
    pub length: usize,
    /// The kernel's error.
    pub source: io::Error,
    /// The verifier's last lines; may be empty.
    pub log: String,
}

fn said(log: &str) -> String {
    if log.is_empty() {
        String::new()
    } else {
        format!("; the verifier's last lines:\n{log}")
    }
}

/// Filters use no helper functions that require a GPL-compatible licence, but the capture programs
/// that they call have one, and the kernel requires the same of both.
const LICENSE: &[u8] = b"Dual MIT/GPL\0";
/// Lines of the verifier's log that an error keeps.
const KEPT_LINES: usize = 12;
/// The verifier's log of a long program is long, and only its end matters.
const LOG_BYTES: usize = 16 << 20;

/// Loads `BPF_PROG_TYPE_SCHED_CLS` instructions. The program exists as long as the descriptor and its
/// attachments. Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.
///
/// # Errors
///
/// The kernel's error, and the end of the verifier's log.
pub fn load_classifier(insns: &[BpfInsn], name: &str) -> Result<OwnedFd, LoadError> {
    let refused = |source, log| LoadError {
        name: name.to_owned(),
        length: insns.len(),
        source,
        log,
    };
    // The log costs the verifier time, so it is requested only after a rejection.
    match load(insns, name, &mut []) {
        Ok(descriptor) => Ok(descriptor),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Err(refused(error, String::new()))
        }
        Err(_) => {
            let mut log = vec![0; LOG_BYTES];
            load(insns, name, &mut log).map_err(|error| refused(error, last_lines(&log)))
        }
    }
}

fn load(insns: &[BpfInsn], name: &str, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attr: bpf_attr = zeroed();
    let mut prog_name = [0; 16];
    for (to, from) in prog_name.iter_mut().take(15).zip(name.bytes()) {
        *to = from as c_char;
    }
    let program = bpf_attr_program(&mut attr);
    program.prog_type = bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS as u32;
    program.insns = insns.as_ptr() as u64;
    program.insn_cnt = u32::try_from(insns.len()).map_err(io::Error::other)?;
    program.license = LICENSE.as_ptr() as u64;
    program.prog_name = prog_name;
    if !log.is_empty() {
        program.log_level = 1;
        program.log_buf = log.as_mut_ptr() as u64;
        program.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
    }
    // SAFETY: the instructions, the licence and the log live as long as the call, and their lengths
    // are passed with them; the licence ends with a zero byte.
    #[expect(unsafe_code, reason = "bpf(2)")]
    let descriptor = unsafe { bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr) }?;
    let descriptor = RawFd::try_from(descriptor);
    // SAFETY: the kernel has just created this descriptor for us and nothing else owns it.
    #[expect(unsafe_code, reason = "bpf(2) gives descriptors as numbers")]
    descriptor
        .map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })
        .map_err(io::Error::other)
}

fn bpf_attr_program(attr: &mut bpf_attr) -> &mut aya_obj::generated::bpf_attr__bindgen_ty_4 {
    // SAFETY: every field of the union is a struct of integers, valid whatever its bytes are.
    #[expect(unsafe_code, reason = "a reference into a union")]
    unsafe {
        &mut attr.__bindgen_anon_3
    }
}

fn last_lines(log: &[u8]) -> String {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]);
    let mut lines: Vec<&str> = text.lines().rev().take(KEPT_LINES).collect();
    lines.reverse();
    lines.join("\n")
}
