//! The reader's side against memory in which the test plays the kernel's part.

use std::{os::fd::OwnedFd, os::unix::fs::FileExt as _, time::Duration};

use capture_common::{RECORD_DATA, RecordHeader, SPILL_HEAD};
use rustix::{
    event::epoll,
    fs::{MemfdFlags, ftruncate, memfd_create},
};

use super::{Records, Ring};
use capture_kernel::rings::RingMap;

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;

/// A ring buffer's memory with the test in the kernel's role: the two pages, and the data twice,
/// which here are two copies.
struct Kernel {
    file: std::fs::File,
    size: u64,
    produced: u64,
}

impl Kernel {
    fn new(size: u64) -> Self {
        let memory = memfd_create("ring", MemfdFlags::CLOEXEC).expect("memfd");
        let file = std::fs::File::from(memory);
        let page = rustix::param::page_size() as u64;
        ftruncate(&file, 2 * page + 2 * size).expect("ftruncate");
        Self {
            file,
            size,
            produced: 0,
        }
    }

    fn records(&self) -> Records {
        let descriptor = OwnedFd::from(self.file.try_clone().expect("dup"));
        let size = self.size as u32;
        Records::new(&RingMap { descriptor, size }).expect("mapped")
    }

    fn page(&self) -> u64 {
        rustix::param::page_size() as u64
    }

    /// The position up to which the reader has returned room.
    fn consumed(&self) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 0).expect("read");
        u64::from_ne_bytes(bytes)
    }

    fn write(&self, position: u64, bytes: &[u8]) {
        for (at, byte) in (position..).zip(bytes) {
            for copy in [0, self.size] {
                let offset = 2 * self.page() + copy + at % self.size;
                self.file.write_all_at(&[*byte], offset).expect("write");
            }
        }
    }

    /// Reserves a record and fills all but its header; returns its position, or `None` if there is no
    /// room.
    fn reserve(&mut self, record: &[u8]) -> Option<u64> {
        let length = (8 + record.len() as u64).next_multiple_of(8);
        if self.produced + length - self.consumed() > self.size {
            return None;
        }
        let position = self.produced;
        self.write(position, &(record.len() as u32 | BUSY).to_ne_bytes());
        self.write(position + 8, record);
        self.produced += length;
        self.file
            .write_all_at(&self.produced.to_ne_bytes(), self.page())
            .expect("write");
        Some(position)
    }

    fn submit(&self, position: u64, record: &[u8], flags: u32) {
        self.write(position, &(record.len() as u32 | flags).to_ne_bytes());
    }

    fn put(&mut self, record: &[u8]) -> bool {
        let position = self.reserve(record);
        if let Some(position) = position {
            self.submit(position, record, 0);
        }
        position.is_some()
    }
}

/// A record of a packet whose length and bytes encode its number.
fn record(number: u64) -> Vec<u8> {
    let length = 8 + (number % 90) as usize;
    let header = RecordHeader {
        timestamp: number,
        original_length: length as u32,
        captured_length: length as u32,
        ifindex: 7,
        direction: 0,
        link: 0,
        packet_type: 0,
        flags: 0,
    };
    let mut record = Vec::new();
    record.extend_from_slice(&header.timestamp.to_ne_bytes());
    for word in [
        header.original_length,
        header.captured_length,
        header.ifindex,
        0,
    ] {
        record.extend_from_slice(&word.to_ne_bytes());
    }
    assert_eq!(record.len(), RECORD_DATA);
    record.extend_from_slice(&number.to_ne_bytes());
    record.resize(RECORD_DATA + length, number as u8);
    // As much room as a size class may leave.
    record.resize(record.len().next_multiple_of(16), 0xee);
    record
}

fn spilled(behind: u64, number: u64) -> Vec<u8> {
    let mut bytes = behind.to_ne_bytes().to_vec();
    assert_eq!(bytes.len(), SPILL_HEAD);
    bytes.extend(record(number));
    bytes
}

fn ring(front: &Kernel, spill: Option<&Kernel>) -> Ring {
    Ring {
        front: front.records(),
        spill: spill.map(Kernel::records),
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll"),
    }
}

/// The numbers of up to `most` packets, checked against what was put in.
fn take(ring: &mut Ring, most: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < most {
        let before = numbers.len();
        let mut run = ring.run();
        while numbers.len() < most
            && let Some((header, bytes)) = run.packet()
        {
            let number = header.timestamp;
            assert_eq!(header.ifindex, 7);
            assert_eq!(bytes.len() as u64, 8 + number % 90);
            assert_eq!(bytes[..8], number.to_ne_bytes());
            assert!(bytes[8..].iter().all(|byte| *byte == number as u8));
            numbers.push(number);
            run.advance();
        }
        run.settle();
        if numbers.len() == before {
            break;
        }
    }
    numbers
}

#[test]
fn many_rounds_through_a_small_ring_give_every_packet_once_and_in_order() {
    let mut kernel = Kernel::new(4096);
    let mut ring = ring(&kernel, None);
    let (mut put, mut taken) = (0, Vec::new());
    for round in 0..300 {
        while kernel.put(&record(put)) {
            put += 1;
        }
        taken.extend(take(&mut ring, 7 + round % 40));
    }
    assert!(taken.len() > 1000, "{} taken", taken.len());
    assert_eq!(taken, (0..taken.len() as u64).collect::<Vec<_>>());
    assert!(kernel.consumed() > 10 * kernel.size);
}

#[test]
fn a_packet_that_is_being_copied_holds_up_those_behind_it_and_one_given_up_does_not() {
    let mut kernel = Kernel::new(4096);
    let mut ring = ring(&kernel, None);
    assert!(kernel.put(&record(0)));
    let copying = kernel.reserve(&record(1)).expect("room");
    let given_up = kernel.reserve(&record(2)).expect("room");
    kernel.submit(given_up, &record(2), DISCARDED);
    assert!(kernel.put(&record(3)));
    assert_eq!(take(&mut ring, 9), [0]);
    assert!(take(&mut ring, 9).is_empty());
    kernel.submit(copying, &record(1), 0);
    assert_eq!(take(&mut ring, 9), [1, 3]);
    ring.wait(Some(Duration::ZERO)).expect("wait");
    assert_eq!(kernel.consumed(), kernel.produced, "all room is given back");
}

#[test]
fn what_has_spilled_comes_behind_the_position_it_bears() {
    let (mut front, mut spill) = (Kernel::new(1 << 16), Kernel::new(1 << 16));
    let mut ring = ring(&front, Some(&spill));
    for number in 0..3 {
        assert!(front.put(&record(number)));
    }
    assert!(spill.put(&spilled(front.produced, 3)));
    // One of another CPU, which had looked at the front ring earlier.
    assert!(spill.put(&spilled(0, 4)));
    for number in 5..8 {
        assert!(front.put(&record(number)));
    }
    assert!(spill.put(&spilled(front.produced, 8)));
    assert_eq!(take(&mut ring, 99), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    ring.wait(Some(Duration::ZERO)).expect("wait");
    assert_eq!(
        (front.consumed(), spill.consumed()),
        (front.produced, spill.produced)
    );
}

#[test]
fn nothing_is_taken_while_it_is_not_known_which_packet_comes_next() {
    let (mut front, mut spill) = (Kernel::new(1 << 16), Kernel::new(1 << 16));
    let mut ring = ring(&front, Some(&spill));
    let first = spilled(front.produced, 0);
    let position = spill.reserve(&first).expect("room");
    assert!(front.put(&record(1)));
    assert!(take(&mut ring, 9).is_empty());
    spill.submit(position, &first, 0);
    assert_eq!(take(&mut ring, 9), [0, 1]);
    // The other way round: the one in the front ring is not there yet.
    let position = front.reserve(&record(2)).expect("room");
    assert!(spill.put(&spilled(front.produced, 3)));
    assert!(take(&mut ring, 9).is_empty());
    front.submit(position, &record(2), 0);
    assert_eq!(take(&mut ring, 9), [2, 3]);
}
