//! bpf(2), which no library wraps for programs and maps that come from no object file.

use std::io;

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// An attribute with every field 0, also those that only newer kernels know.
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
/// What the kernel answers.
///
/// # Safety
/// Each pointer in `attr` that the command reads or writes through is valid for that, for as many bytes
/// as `attr` and the command say.
#[expect(
    unsafe_code,
    reason = "what the pointers lead to only the caller knows"
)]
pub unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: of `attr` itself the kernel reads and writes no more than the size given; the caller
    // answers for the pointers in it.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as i32, attr, size_of::<bpf_attr>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
