//! The kernel's side of a capture as user space sees it: the loaded programs, their maps, and the
//! features of this kernel.

pub mod cause;
pub mod counters;
pub mod features;
pub mod object;
pub mod own_traffic;
pub mod reader;
pub mod ring_fill;
pub mod rings;
pub mod syscall;
