//! The basis of the tests that cross crates: network namespaces, senders of exactly known packets,
//! tcpdump as a peer, the real `captured`, readers of both programs' files, and a load generator.
//!
//! Everything that a test creates (namespaces, processes, directories) has a guard that removes it,
//! even if the test fails.

pub mod attached;
pub mod capture_file;
pub mod certificates;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod compare;
pub mod coordinator;
pub mod daemon;
pub mod frame;
pub mod gate;
pub mod generator;
pub mod guest;
pub mod lab;
pub mod mount;
pub mod netns;
pub mod packet_socket;
pub mod pods;
pub mod process;
pub mod program;
pub mod recorder;
pub mod reference;
pub mod scene;
pub mod stopped_thread;
pub mod summary;
pub mod tcpdump;
pub mod tun;
pub mod usage;
pub mod wait;
