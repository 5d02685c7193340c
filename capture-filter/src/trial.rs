//! Tries a filter on packets given as bytes, without an interface: the program that would be attached,
//! run by the kernel.

use std::{
    io,
    mem::offset_of,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::bpf_map_type::{
    BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PROG_ARRAY,
};
use capture_common::{Counters, PROGRAMS_LENGTH, Slot, UNKNOWN_INTERFACE, slot_index};

use super::{
    FilterMaps,
    insn::{Alu, BpfInsn, R0},
    interpret::{Fault, NoMaps, Outcome, Skb, interpret},
    program::Program,
    targets::TargetMaps,
    translate::NEXT,
};
use crate::kernel::{
    map::{MapSpec, RawMap},
    prog_load::{LoadError, load_classifier},
    prog_test_run::{LONGEST, SHORTEST, TestPacket, test_run},
};

mod file;

pub use file::{FileError, TrialTotals, try_on_file};

/// The interface index of every namespace's loopback device, on which test runs are made.
const LOOPBACK: u32 = 1;
/// The return value of the placeholder for the capture programs. It is attached to nothing.
const MATCHED: u32 = 1;

/// A loaded filter with separate maps; its program array contains a placeholder for the capture
/// programs.
#[derive(Debug)]
pub struct Trial {
    program: Program,
    descriptor: OwnedFd,
    slots: RawMap,
    counters: RawMap,
    _programs: RawMap,
    targets: Option<TargetMaps>,
}

/// Runs a filter on another thread than the one that changes its targets.
#[derive(Debug)]
pub struct Runner(OwnedFd);

/// A filter's verdict on a packet, and where the program ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the packet matches.
    pub matched: bool,
    /// False if the program had to be interpreted in user space, because the kernel's test run cannot
    /// take the packet: shorter than its headers, longer than a page, or truncated.
    pub by_kernel: bool,
}

/// A filter could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The kernel rejected a program.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel rejected a map.
    #[error("the filter's map {name} could not be used: {source}")]
    Map {
        /// The map.
        name: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// The kernel refused to run the program.
    #[error("the filter could not be run on a packet of {length} bytes: {source}")]
    Run {
        /// Bytes of the packet.
        length: usize,
        /// The kernel's error.
        source: io::Error,
    },
    /// The program returned an unexpected value.
    #[error("the filter returned {0:#x}, which no filter returns")]
    Result(u32),
    /// The program is faulty.
    #[error("the filter's program is faulty: {0}")]
    Fault(#[from] Fault),
}

impl Trial {
    /// Loads a program with newly created maps, and with `targets` if it looks up any. Needs CAP_BPF,
    /// CAP_NET_ADMIN and CAP_PERFMON.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn load(program: Program, targets: Option<TargetMaps>) -> Result<Self, TrialError> {
        Self::load_for(program, targets, LOOPBACK)
    }

    /// Like [`Trial::load`], with the slot that test runs count in assigned to the interface
    /// `owner`.
    fn load_for(
        program: Program,
        targets: Option<TargetMaps>,
        owner: u32,
    ) -> Result<Self, TrialError> {
        let failed = |name| move |source| TrialError::Map { name, source };
        let slot = slot_index(LOOPBACK);
        let slots = RawMap::create(MapSpec {
            name: "SLOTS",
            kind: BPF_MAP_TYPE_PERCPU_ARRAY,
            key_size: 4,
            value_size: size_of::<Slot>(),
            max_entries: slot + 1,
            flags: 0,
        })
        .map_err(failed("SLOTS"))?;
        let mut value = vec![0; slots.value_size()];
        for cpu in value.chunks_exact_mut(size_of::<Slot>()) {
            cpu[offset_of!(Slot, ifindex)..][..4].copy_from_slice(&owner.to_ne_bytes());
        }
        slots
            .set(&slot.to_ne_bytes(), &value)
            .map_err(failed("SLOTS"))?;
        let counters = RawMap::create(MapSpec {
            name: "COUNTERS",
            kind: BPF_MAP_TYPE_PERCPU_HASH,
            key_size: 4,
            value_size: size_of::<Counters>(),
            max_entries: 2,
            flags: 0,
        })
        .map_err(failed("COUNTERS"))?;
        for key in [UNKNOWN_INTERFACE, LOOPBACK] {
            counters
                .set(&key.to_ne_bytes(), &vec![0; counters.value_size()])
                .map_err(failed("COUNTERS"))?;
        }
        let programs = RawMap::create(MapSpec {
            name: "PROGRAMS",
            kind: BPF_MAP_TYPE_PROG_ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: PROGRAMS_LENGTH,
            flags: 0,
        })
        .map_err(failed("PROGRAMS"))?;
        let stand_in = load_classifier(
            &[BpfInsn::alu32(Alu::Mov, R0, MATCHED), BpfInsn::exit()],
            "captured_trial",
        )?;
        for index in 0..PROGRAMS_LENGTH {
            programs
                .set(&index.to_ne_bytes(), &stand_in.as_raw_fd().to_ne_bytes())
                .map_err(failed("PROGRAMS"))?;
        }
        let maps = FilterMaps {
            slots: slots.as_fd(),
            counters: counters.as_fd(),
            programs: programs.as_fd(),
            targets: targets.as_ref(),
        };
        Ok(Self {
            descriptor: super::load(&program, &maps)?,
            program,
            slots,
            counters,
            _programs: programs,
            targets,
        })
    }

    /// Decides about one packet; `length` is its length on the wire, and at least that of `bytes`.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn decide(&self, bytes: &[u8], length: usize) -> Result<Decision, TrialError> {
        if (SHORTEST..=LONGEST).contains(&bytes.len()) && length <= bytes.len() {
            let packet = TestPacket {
                bytes,
                ..TestPacket::default()
            };
            match self.run(packet) {
                // Newer kernels require whole IP headers after an Ethernet type for IP.
                Err(TrialError::Run { source, .. })
                    if source.raw_os_error() == Some(libc::EINVAL) => {}
                decided => {
                    return Ok(Decision {
                        matched: decided?,
                        by_kernel: true,
                    });
                }
            }
        }
        let skb = Skb {
            bytes,
            length: u32::try_from(length).ok(),
            ..Skb::default()
        };
        let outcome = match &self.targets {
            Some(targets) => interpret(&self.program, &skb, targets)?,
            None => interpret(&self.program, &skb, &NoMaps)?,
        };
        Ok(Decision {
            matched: outcome != Outcome::Filtered,
            by_kernel: false,
        })
    }

    /// Runs the program on a packet in the kernel.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn run(&self, packet: TestPacket<'_>) -> Result<bool, TrialError> {
        run(self.descriptor.as_fd(), packet)
    }

    /// A runner for the filter while its targets change.
    ///
    /// # Errors
    ///
    /// No more file descriptors.
    pub fn runner(&self) -> io::Result<Runner> {
        self.descriptor.try_clone().map(Runner)
    }

    /// The filter's targets.
    pub const fn targets_mut(&mut self) -> Option<&mut TargetMaps> {
        self.targets.as_mut()
    }

    /// Mean time in nanoseconds that the kernel needs for the packet.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn time(&self, bytes: &[u8], repeat: u32) -> Result<u32, TrialError> {
        let packet = TestPacket {
            bytes,
            ..TestPacket::default()
        };
        test_run(self.descriptor.as_fd(), packet, repeat)
            .map(|run| run.nanoseconds)
            .map_err(|source| TrialError::Run {
                length: bytes.len(),
                source,
            })
    }

    /// Packets counted as filtered so far.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn filtered(&self) -> Result<u64, TrialError> {
        Ok(self.filtered_in_slot()? + self.filtered_without_slot()?)
    }

    fn filtered_in_slot(&self) -> Result<u64, TrialError> {
        let filtered = offset_of!(Slot, counters) + offset_of!(Counters, filtered);
        self.slots
            .get(&slot_index(LOOPBACK).to_ne_bytes())
            .map(|value| sum_of_cpus(&value, size_of::<Slot>(), filtered))
            .map_err(|source| TrialError::Map {
                name: "SLOTS",
                source,
            })
    }

    fn filtered_without_slot(&self) -> Result<u64, TrialError> {
        let filtered = offset_of!(Counters, filtered);
        let mut sum = 0;
        for key in [UNKNOWN_INTERFACE, LOOPBACK] {
            let value =
                self.counters
                    .get(&key.to_ne_bytes())
                    .map_err(|source| TrialError::Map {
                        name: "COUNTERS",
                        source,
                    })?;
            sum += sum_of_cpus(&value, size_of::<Counters>(), filtered);
        }
        Ok(sum)
    }
}

/// Sums the counter at `offset` in each CPU's value of `size` bytes.
fn sum_of_cpus(value: &[u8], size: usize, offset: usize) -> u64 {
    value
        .chunks_exact(size)
        .filter_map(|cpu| cpu[offset..].first_chunk::<8>())
        .map(|count| u64::from_ne_bytes(*count))
        .sum()
}

impl Runner {
    /// Whether the packet matches; the kernel's test run must accept the packet.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn matches(&self, bytes: &[u8]) -> Result<bool, TrialError> {
        let packet = TestPacket {
            bytes,
            ..TestPacket::default()
        };
        run(self.0.as_fd(), packet)
    }
}

fn run(program: BorrowedFd<'_>, packet: TestPacket<'_>) -> Result<bool, TrialError> {
    let run = test_run(program, packet, 1).map_err(|source| TrialError::Run {
        length: packet.bytes.len(),
        source,
    })?;
    match run.result {
        MATCHED => Ok(true),
        NEXT => Ok(false),
        other => Err(TrialError::Result(other)),
    }
}

#[cfg(test)]
mod tests;
