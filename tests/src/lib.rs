//! What the tests that cross crates stand on: network namespaces, senders of exactly known packets,
//! tcpdump as a peer, the real `captured`, readers of what both wrote, and a load generator.
//!
//! Everything that a test makes (namespaces, processes, directories) is a guard that removes it, also
//! when the test fails.

pub mod attached;
pub mod capture_file;
pub mod certificates;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod compare;
pub mod daemon;
pub mod frame;
pub mod gate;
pub mod generator;
pub mod guest;
pub mod mount;
pub mod netns;
pub mod packet_socket;
pub mod pods;
pub mod process;
pub mod recorder;
pub mod scene;
pub mod stopped_thread;
pub mod summary;
pub mod tcpdump;
pub mod tun;
pub mod usage;
pub mod wait;
