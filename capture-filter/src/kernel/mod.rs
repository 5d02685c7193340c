//! Generated programs and their maps in the kernel: bpf(2) without an object file, and the classic
//! socket filter for comparison.

pub mod map;
pub mod prog_load;
pub mod prog_test_run;
pub mod socket_filter;
pub mod syscall;
