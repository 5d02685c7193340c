//! The way of a packet in user space: ring buffer, drain, encode, compress, write, retain.

pub mod packet;
