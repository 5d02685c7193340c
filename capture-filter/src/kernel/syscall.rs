//! bpf(2), which no library wraps for programs and maps without an object file.

use std::io;

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// An attribute with every field 0, including those that only newer kernels know.
#[must_use]
pub fn zeroed() -> bpf_attr {
    // SAFETY: `bpf_attr` is a union of structs of integers, for all of which zeroes are valid.
    #[expect(unsafe_code, reason = "the binding has no other constructor")]
    unsafe {
        std::mem::zeroed()
    }
}

/// One call of bpf(2).
///
/// # Errors
/// The kernel's error.
///
/// # Safety
/// Each pointer in `attr` that the command uses must be valid for reads or writes of as many bytes as
/// `attr` and the command specify.
#[expect(
    unsafe_code,
    reason = "what the pointers lead to only the caller knows"
)]
pub unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: the kernel reads and writes no more of `attr` than the given size; the caller
    // guarantees the pointers in it.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as i32, attr, size_of::<bpf_attr>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
