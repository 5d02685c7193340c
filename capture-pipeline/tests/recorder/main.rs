//! The recorder from its packets to its files, without a kernel program: `pcap-file`, tcpdump and
//! tshark must read what was sent.

#![cfg(test)]

mod bad_days;
mod checkpoints;
mod exported;
mod keeping;
mod mounts;
mod readers;
mod rotation;
mod support;
mod text;
