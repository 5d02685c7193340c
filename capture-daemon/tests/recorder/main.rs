//! The recorder from its packets to its files, without a kernel program: what goes in must be what
//! `pcap-file`, tcpdump and tshark read.

#![cfg(test)]

mod bad_days;
mod keeping;
mod mounts;
mod readers;
mod rotation;
mod support;
mod text;
