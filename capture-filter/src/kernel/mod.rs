//! Generated programs and their maps in the kernel: bpf(2) for what has no object file, and the classic
//! socket filter as the peer to measure against.

pub mod map;
pub mod prog_load;
pub mod prog_test_run;
pub mod socket_filter;
pub mod syscall;
