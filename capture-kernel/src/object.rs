//! The eBPF object: loaded once per capture, each time with separate maps.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Map, MapData, MapError, ProgramArray},
    programs::{ProgramError, SchedClassifier},
};
use aya_log::EbpfLogger;
use bytesize::ByteSize;
use capture_common::{
    BUCKETS, DIRECTION_EGRESS, DIRECTION_INGRESS, LINK_ETHERNET, LINK_RAW, MAX_CAPTURED_LENGTH,
    identity::KEYS, program_index,
};
use rustix::rand::{GetRandomFlags, getrandom};

use super::{
    cause::{MemoryLimit, cause, io_error, memory_limit},
    counters::KernelCounters,
    features::Features,
    own_traffic::OwnEndpoints,
    reader::ReaderFlag,
    rings::{RingMap, RingMaps, RingSizes},
};
use capture_types::{Direction, LinkType};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/capture"));

/// The name prefix of all our programs, which distinguishes them from those of others.
pub const PROGRAM_PREFIX: &str = "captured_";

/// Loading the eBPF object failed.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The kernel rejected a map, or the object cannot be read.
    #[error("the eBPF object could not be loaded: {source}{}", because(cause.as_deref()))]
    Load {
        /// Why.
        source: Box<EbpfError>,
        /// The underlying cause, if known.
        cause: Option<String>,
    },
    /// The rings do not fit into memory.
    #[error("ring buffers of {}: {limit}", ByteSize(*.asked).display().iec())]
    Memory {
        /// Bytes of the rings.
        asked: u64,
        /// The memory limit.
        limit: MemoryLimit,
    },
    /// The kernel rejected a program.
    #[error("the kernel rejected the eBPF program {program}: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// Why, with the verifier's message if there is one.
        source: Box<ProgramError>,
    },
    /// The kernel gave no random numbers.
    #[error("random numbers for the option to record each packet once: {0}")]
    Random(std::io::Error),
    /// The counters could not be created.
    #[error(transparent)]
    Counters(#[from] super::counters::CountersError),
    /// A map is missing or of another type.
    #[error("the eBPF map {map} could not be used: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        source: MapError,
    },
}

fn because(cause: Option<&str>) -> String {
    cause.map_or_else(String::new, |cause| format!(": {cause}"))
}

/// Parameters of the programs.
#[derive(Debug, Clone, Copy)]
pub struct ObjectConfig {
    /// Maximum bytes kept of a packet.
    pub snaplen: u32,
    /// The ring buffers.
    pub rings: RingSizes,
    /// The endpoints on which this process listens: packets of connections to them are its own.
    pub own: OwnEndpoints,
    /// Whether the daemon's own packets are recorded.
    pub include_own: bool,
    /// Whether a packet is recorded only at the first place where it is seen.
    pub each_packet_once: bool,
    /// Whether the programs log rare events (target `capture` at level warn and above).
    pub log: bool,
}

/// The loaded programs and their maps. The kernel frees them when this is dropped and nothing is attached.
pub struct CaptureObject {
    ebpf: Ebpf,
    /// Programs can tail-call through this map only as long as user space holds it.
    programs: OwnedFd,
    slots: OwnedFd,
    counters: OwnedFd,
}

/// The maps that other parts of the capture take over.
pub struct CaptureMaps {
    /// For the drain thread.
    pub rings: RingMaps,
    /// For the drain thread: the flag that it sleeps.
    pub reader: ReaderFlag,
    /// For the ledger.
    pub counters: KernelCounters,
    /// For the log of the programs, if they log.
    pub logger: Option<EbpfLogger<&'static dyn log::Log>>,
}

const PROGRAMS: [(&str, u8, u8); 4] = [
    ("captured_eth_in", DIRECTION_INGRESS, LINK_ETHERNET),
    ("captured_eth_eg", DIRECTION_EGRESS, LINK_ETHERNET),
    ("captured_raw_in", DIRECTION_INGRESS, LINK_RAW),
    ("captured_raw_eg", DIRECTION_EGRESS, LINK_RAW),
];

impl CaptureObject {
    /// Loads the object and creates its maps.
    pub fn load(
        config: &ObjectConfig,
        features: &Features,
    ) -> Result<(Self, CaptureMaps), ObjectError> {
        let snaplen = config.snaplen.clamp(1, MAX_CAPTURED_LENGTH);
        let rings = config.rings;
        let distance = u64::from(rings.wakeup_distance());
        let has_spill = u8::from(rings.spill.is_some());
        let tai_clock = u8::from(features.tai_clock);
        let log_level = if config.log {
            aya_log::Level::Warn as u8
        } else {
            0
        };
        let own_ports = config.own.ports();
        let [own_0, own_1, own_2, own_3] = config.own.addresses();
        let include_own = u8::from(config.include_own);
        let each_packet_once = u8::from(config.each_packet_once);
        let identity_keys = identity_keys()?;
        let mut loader = EbpfLoader::new();
        loader
            .override_global("OWN_PORTS", &own_ports, true)
            .override_global("OWN_ADDRESS_0", own_0, true)
            .override_global("OWN_ADDRESS_1", own_1, true)
            .override_global("OWN_ADDRESS_2", own_2, true)
            .override_global("OWN_ADDRESS_3", own_3, true)
            .override_global("INCLUDE_OWN", &include_own, true)
            .override_global("EACH_PACKET_ONCE", &each_packet_once, true)
            .override_global("IDENTITY_KEYS", &identity_keys, true)
            .override_global("SNAPLEN", &snaplen, true)
            .override_global("WAKEUP_DISTANCE", &distance, true)
            .override_global("HAS_SPILL", &has_spill, true)
            .override_global("TAI_CLOCK", &tai_clock, true)
            .override_global(aya_log::LEVEL, &log_level, true)
            .map_max_entries("FRONT", rings.front)
            .map_max_entries("SPILL", rings.spill.unwrap_or_else(page_size));
        if config.each_packet_once {
            loader.map_max_entries("SIGHTS", BUCKETS);
        }
        if !config.log {
            loader.map_max_entries("AYA_LOGS", page_size());
        }
        if let Some(limit) = memory_limit().filter(|limit| rings.total() > limit.most) {
            // Otherwise the kernel might kill another process of the control group to make room.
            let asked = rings.total();
            return Err(ObjectError::Memory { asked, limit });
        }
        let mut ebpf = loader.load(OBJECT).map_err(|source| ObjectError::Load {
            cause: io_error(&source).and_then(cause),
            source: Box::new(source),
        })?;

        let programs = descriptor(&ebpf, "PROGRAMS")?;
        let slots = descriptor(&ebpf, "SLOTS")?;
        let counters = descriptor(&ebpf, "COUNTERS")?;
        let maps = CaptureMaps {
            rings: RingMaps {
                front: RingMap {
                    descriptor: descriptor(&ebpf, "FRONT")?,
                    size: rings.front,
                },
                spill: match rings.spill {
                    Some(size) => Some(RingMap {
                        descriptor: descriptor(&ebpf, "SPILL")?,
                        size,
                    }),
                    None => None,
                },
            },
            reader: ReaderFlag::new(take(&mut ebpf, "READER")?),
            counters: KernelCounters::new(take(&mut ebpf, "SLOTS")?, take(&mut ebpf, "COUNTERS")?)?,
            logger: config
                .log
                .then(|| EbpfLogger::init(&mut ebpf).ok())
                .flatten(),
        };
        let mut targets: ProgramArray<_> = take(&mut ebpf, "PROGRAMS")?;
        for (name, direction, link) in PROGRAMS {
            let program = classifier(&mut ebpf, name)?;
            let refused = |source| ObjectError::Program {
                program: name,
                source: Box::new(source),
            };
            program.load().map_err(refused)?;
            targets
                .set(
                    program_index(direction, link),
                    program.fd().map_err(refused)?,
                    0,
                )
                .map_err(|source| ObjectError::Map {
                    map: "PROGRAMS",
                    source,
                })?;
        }
        let object = Self {
            ebpf,
            programs,
            slots,
            counters,
        };
        Ok((object, maps))
    }

    /// The map of the capture programs, by [`program_index`].
    #[must_use]
    pub fn programs(&self) -> BorrowedFd<'_> {
        self.programs.as_fd()
    }

    /// The map of the slots with counters.
    #[must_use]
    pub fn slots(&self) -> BorrowedFd<'_> {
        self.slots.as_fd()
    }

    /// The map of the counters of interfaces without a slot.
    #[must_use]
    pub fn counters(&self) -> BorrowedFd<'_> {
        self.counters.as_fd()
    }

    /// The program that captures packets of this direction and link type.
    pub fn program(
        &self,
        direction: Direction,
        link_type: LinkType,
    ) -> Result<BorrowedFd<'_>, ObjectError> {
        let (program, ..) =
            PROGRAMS[program_index(direction_number(direction), link(link_type)) as usize];
        let refused = |source| ObjectError::Program {
            program,
            source: Box::new(source),
        };
        let classifier: &SchedClassifier = self
            .ebpf
            .program(program)
            .ok_or_else(|| refused(ProgramError::NotLoaded))?
            .try_into()
            .map_err(refused)?;
        Ok(classifier.fd().map_err(refused)?.as_fd())
    }
}

/// The kernel's number of a direction.
#[must_use]
pub const fn direction_number(direction: Direction) -> u8 {
    match direction {
        Direction::In => DIRECTION_INGRESS,
        Direction::Out => DIRECTION_EGRESS,
    }
}

/// The kernel's number of a link type.
#[must_use]
pub const fn link(link_type: LinkType) -> u8 {
    match link_type {
        LinkType::Ethernet => LINK_ETHERNET,
        LinkType::Raw => LINK_RAW,
    }
}

/// Numbers with which packets are hashed, and which nobody else knows.
fn identity_keys() -> Result<[u64; KEYS], ObjectError> {
    let mut bytes = [0; KEYS * size_of::<u64>()];
    // So few bytes are given as a whole or not at all (getrandom(2)).
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| ObjectError::Random(error.into()))?;
    let mut keys = [0; KEYS];
    for (key, bytes) in keys.iter_mut().zip(bytes.as_chunks().0) {
        *key = u64::from_ne_bytes(*bytes);
    }
    Ok(keys)
}

fn page_size() -> u32 {
    u32::try_from(rustix::param::page_size()).unwrap_or(4096)
}

fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, ObjectError> {
    let refused = |source| ObjectError::Program {
        program: name,
        source: Box::new(source),
    };
    ebpf.program_mut(name)
        .ok_or_else(|| refused(ProgramError::NotLoaded))?
        .try_into()
        .map_err(refused)
}

/// A second descriptor of a map, besides the one of its owner.
fn descriptor(ebpf: &Ebpf, map: &'static str) -> Result<OwnedFd, ObjectError> {
    let copied = data(ebpf, map)?.fd().as_fd().try_clone_to_owned();
    copied.map_err(|error| ObjectError::Map {
        map,
        source: MapError::IoError(error),
    })
}

fn data<'a>(ebpf: &'a Ebpf, map: &'static str) -> Result<&'a MapData, ObjectError> {
    match ebpf.map(map) {
        Some(
            Map::PerCpuArray(data)
            | Map::PerCpuHashMap(data)
            | Map::ProgramArray(data)
            | Map::RingBuf(data),
        ) => Ok(data),
        _ => Err(ObjectError::Map {
            map,
            source: MapError::InvalidName {
                name: map.to_owned(),
            },
        }),
    }
}

fn take<T>(ebpf: &mut Ebpf, map: &'static str) -> Result<T, ObjectError>
where
    T: TryFrom<aya::maps::Map, Error = MapError>,
{
    let failed = |source| ObjectError::Map { map, source };
    let taken = ebpf.take_map(map).ok_or_else(|| {
        failed(MapError::InvalidName {
            name: map.to_owned(),
        })
    })?;
    T::try_from(taken).map_err(failed)
}

#[cfg(test)]
mod tests {
    use capture_tests::gate;

    use super::{CaptureObject, ObjectConfig, identity_keys};
    use crate::{features::Features, rings::RingSizes};

    #[test]
    fn packets_are_hashed_with_keys_that_no_two_captures_share() {
        let (one, other) = (identity_keys().unwrap(), identity_keys().unwrap());
        let shared = one.iter().filter(|key| other.contains(key)).count();
        assert_eq!(shared, 0, "{one:x?} and {other:x?}");
        assert!(!one.contains(&0), "{one:x?}");
    }

    #[test]
    fn the_kernel_accepts_every_program() {
        if !gate::may_load_bpf().unwrap() {
            return;
        }
        let features = Features::probe().unwrap();
        for (snaplen, tai_clock, ring_size, log, own, once) in [
            (262_144, true, 64 << 20, false, "", false),
            (262_144, true, 64 << 20, false, "", true),
            (1, false, 1 << 20, true, "127.0.0.1:9443", false),
            (1, false, 1 << 20, true, "127.0.0.1:9443", true),
            (96, true, 4 << 20, true, "[::]:9443", true),
        ] {
            let features = Features {
                tai_clock: tai_clock && features.tai_clock,
                ..features.clone()
            };
            let config = ObjectConfig {
                snaplen,
                rings: RingSizes::new(ring_size),
                own: own.parse().into_iter().collect(),
                include_own: snaplen == 96,
                each_packet_once: once,
                log,
            };
            if let Err(error) = CaptureObject::load(&config, &features) {
                panic!(
                    "snaplen {snaplen}, TAI clock {tai_clock}, ring {ring_size}, log {log}: {error}"
                );
            }
        }
    }
}
