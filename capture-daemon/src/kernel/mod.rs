//! The kernel's side of a capture as user space sees it: the loaded programs, their maps, and what
//! this kernel can do.

pub mod counters;
pub mod features;
pub mod map;
pub mod object;
pub mod prog_load;
pub mod prog_test_run;
pub mod ring_fill;
pub mod rings;
pub mod socket_filter;
pub mod syscall;
