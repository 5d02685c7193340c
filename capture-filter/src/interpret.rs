//! Runs a generated program in user space: for packets that `BPF_PROG_TEST_RUN` cannot take, and for
//! tests. It supports only what the translator generates, and it is strict: what the verifier would
//! reject, such as a load outside the packet, is an error here.

use capture_common::slot_index;

use super::{
    insn::{BpfInsn, LOAD_64, SOURCE_REGISTER, Size, class},
    program::{MapRef, Program},
    translate::context,
};

/// A packet with the metadata that a program can see.
#[derive(Debug, Clone, Copy, Default)]
pub struct Skb<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// How many of them are in the linear part; `None` for all.
    pub linear: Option<usize>,
    /// The length of the packet, if it is more than its bytes (a truncated packet).
    pub length: Option<u32>,
    /// `PACKET_HOST` and so on, of `linux/if_packet.h`.
    pub packet_type: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// `skb->mark`.
    pub mark: u32,
    /// A VLAN tag that is not in the bytes: its protocol (0x8100) and its value.
    pub vlan: Option<(u16, u16)>,
}

/// The decision of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It called the capture program at this index.
    Matched(u32),
    /// It counted the packet as filtered and let it pass.
    Filtered,
}

/// A fault of the program, never of the packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An instruction that the interpreter does not know.
    #[error("instruction {0} is unknown")]
    Unknown(usize),
    /// A memory access outside what the program may touch.
    #[error("instruction {0} accesses memory at {1:#x}")]
    Access(usize, u64),
    /// The program ran past its end.
    #[error("the program has no instruction {0}")]
    End(usize),
    /// It returned without counting the packet.
    #[error("the program returned {0:#x} without a count")]
    Uncounted(u64),
    /// It used a map that was not given to it.
    #[error("the program looks into {}, which it was not given", .0.name())]
    Map(MapRef),
}

/// The maps besides the counters: key in, value out.
pub trait Maps {
    /// The value of `key`; programs see at most 8 bytes of it.
    ///
    /// # Errors
    ///
    /// [`Fault::Map`] for a map that does not exist.
    fn lookup(&self, map: MapRef, key: &[u8; 20]) -> Result<Option<u64>, Fault>;
}

/// No maps besides the counters.
#[derive(Debug, Clone, Copy)]
pub struct NoMaps;

impl Maps for NoMaps {
    fn lookup(&self, map: MapRef, _: &[u8; 20]) -> Result<Option<u64>, Fault> {
        Err(Fault::Map(map))
    }
}

/// Address ranges, far apart.
const CONTEXT: u64 = 1 << 40;
const PACKET: u64 = 2 << 40;
const STACK_TOP: u64 = (3 << 40) + STACK_SIZE as u64;
/// A `capture_common::Slot`; the counters in it stand for those in the hash table as well.
const SLOT: u64 = 4 << 40;
const COUNTERS: u64 = SLOT + core::mem::offset_of!(capture_common::Slot, counters) as u64;
const VALUE: u64 = 5 << 40;
const MAP: u64 = 6 << 40;
const STACK_SIZE: usize = 512;

struct Machine<'a, M> {
    program: &'a Program,
    skb: &'a Skb<'a>,
    maps: &'a M,
    registers: [u64; 11],
    stack: [u8; STACK_SIZE],
    value: u64,
    counted: Option<u64>,
}

/// Runs `program` on one packet.
///
/// # Errors
///
/// A [`Fault`] of the program.
pub fn interpret(program: &Program, skb: &Skb<'_>, maps: &impl Maps) -> Result<Outcome, Fault> {
    let mut machine = Machine {
        program,
        skb,
        maps,
        // Registers that must not be read before they are written have an unusable value.
        registers: [0x0bad_0bad_0bad_0bad; 11],
        stack: [0xa5; STACK_SIZE],
        value: 0,
        counted: None,
    };
    machine.registers[1] = CONTEXT;
    machine.registers[10] = STACK_TOP;
    machine.run()
}

/// The address of a map in a register.
fn map_address(map: MapRef) -> u64 {
    let position = MapRef::all().position(|other| other == map);
    MAP + position.map_or(0, |position| 1 + position as u64)
}

impl<M: Maps> Machine<'_, M> {
    fn run(&mut self) -> Result<Outcome, Fault> {
        let insns = self.program.instructions();
        let mut pc = 0;
        loop {
            let insn = *insns.get(pc).ok_or(Fault::End(pc))?;
            let (dst, src) = (usize::from(insn.dst().0), usize::from(insn.src().0));
            match insn.code & 0x07 {
                class::LD if insn.code == LOAD_64 => {
                    let map = self.program.map_at(pc).ok_or(Fault::Unknown(pc))?;
                    self.registers[dst] = map_address(map);
                    pc += 1;
                }
                class::LDX => {
                    let address = self.registers[src].wrapping_add_signed(insn.offset.into());
                    self.registers[dst] = self.load(pc, address, Size::of(insn.code))?;
                }
                class::ST => {
                    let value = i64::from(insn.immediate) as u64;
                    self.store(pc, insn, dst, value)?;
                }
                class::STX => {
                    let value = self.registers[src];
                    self.store(pc, insn, dst, value)?;
                }
                class::ALU | class::ALU64 => {
                    self.registers[dst] = alu(insn, self.registers[dst], self.registers[src])
                        .ok_or(Fault::Unknown(pc))?;
                }
                _ => match insn.code & 0xf0 {
                    0x80 => {
                        if let Some(outcome) = self.call(pc, insn.immediate)? {
                            return Ok(outcome);
                        }
                    }
                    0x90 => {
                        let result = self.registers[0];
                        return match (result as u32, self.counted) {
                            (super::translate::NEXT, Some(0)) => Ok(Outcome::Filtered),
                            _ => Err(Fault::Uncounted(result)),
                        };
                    }
                    _ => {
                        if jumps(insn, self.registers[dst], self.registers[src])
                            .ok_or(Fault::Unknown(pc))?
                        {
                            pc = pc.wrapping_add_signed(insn.offset.into());
                        }
                    }
                },
            }
            pc += 1;
        }
    }

    const fn linear(&self) -> usize {
        match self.skb.linear {
            Some(linear) if linear < self.skb.bytes.len() => linear,
            _ => self.skb.bytes.len(),
        }
    }

    fn load(&self, pc: usize, address: u64, size: Size) -> Result<u64, Fault> {
        let fault = Fault::Access(pc, address);
        let bytes = size.bytes() as usize;
        let little = |slice: &[u8]| {
            slice
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        match address >> 40 {
            1 if size == Size::Word => self.context(address - CONTEXT).ok_or(fault),
            2 => {
                let at = (address - PACKET) as usize;
                let linear = &self.skb.bytes[..self.linear()];
                linear.get(at..at + bytes).map(little).ok_or(fault)
            }
            5 if address == VALUE => Ok(self.value),
            4 if size == Size::Double && address >= COUNTERS => Ok(0),
            4 if size == Size::Word && address == SLOT => Ok(self.skb.ifindex.into()),
            _ => {
                let at = self.stack_at(address, bytes).ok_or(fault)?;
                Ok(little(&self.stack[at..at + bytes]))
            }
        }
    }

    fn stack_at(&self, address: u64, bytes: usize) -> Option<usize> {
        let bottom = STACK_TOP - STACK_SIZE as u64;
        let at = usize::try_from(address.checked_sub(bottom)?).ok()?;
        (at + bytes <= STACK_SIZE && at.is_multiple_of(bytes)).then_some(at)
    }

    fn context(&self, offset: u64) -> Option<u64> {
        let skb = self.skb;
        Some(match i16::try_from(offset).ok()? {
            context::LEN => {
                u64::from(skb.length.unwrap_or(0)).max(skb.bytes.len() as u64) & 0xffff_ffff
            }
            context::PACKET_TYPE => skb.packet_type.into(),
            context::MARK => skb.mark.into(),
            context::QUEUE => 0,
            context::PROTOCOL => match skb.bytes.get(12..14) {
                Some(&[high, low]) => u16::from_le_bytes([high, low]).into(),
                _ => 0,
            },
            context::VLAN_PRESENT => skb.vlan.is_some().into(),
            context::VLAN_TCI => skb.vlan.map_or(0, |(_, tag)| tag.into()),
            context::VLAN_PROTOCOL => skb.vlan.map_or(0, |(protocol, _)| protocol.to_be().into()),
            context::IFINDEX => skb.ifindex.into(),
            context::DATA => PACKET,
            context::DATA_END => PACKET + self.linear() as u64,
            _ => return None,
        })
    }

    fn store(&mut self, pc: usize, insn: BpfInsn, dst: usize, value: u64) -> Result<(), Fault> {
        let address = self.registers[dst].wrapping_add_signed(insn.offset.into());
        let size = Size::of(insn.code);
        if address >> 40 == SLOT >> 40 && address >= COUNTERS && size == Size::Double && value == 1
        {
            self.counted = Some(address - COUNTERS);
            return Ok(());
        }
        let bytes = size.bytes() as usize;
        let at = self
            .stack_at(address, bytes)
            .ok_or(Fault::Access(pc, address))?;
        self.stack[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        Ok(())
    }

    fn call(&mut self, pc: usize, helper: i32) -> Result<Option<Outcome>, Fault> {
        let [_, _, second, third, fourth, ..] = self.registers;
        let result = match helper {
            1 => self.map_lookup(pc)?,
            12 => return Ok(Some(Outcome::Matched(third as u32))),
            26 => {
                let (from, length) = (second as u32 as usize, fourth as usize);
                let to = self
                    .stack_at(third, length)
                    .ok_or(Fault::Access(pc, third))?;
                match self.skb.bytes.get(from..from + length) {
                    Some(bytes) => {
                        self.stack[to..to + length].copy_from_slice(bytes);
                        0
                    }
                    None => -14_i64 as u64,
                }
            }
            7 | 8 | 34 => 0,
            _ => return Err(Fault::Unknown(pc)),
        };
        self.registers[..6].fill(0x0bad_0bad_0bad_0bad);
        self.registers[0] = result;
        Ok(None)
    }

    fn map_lookup(&mut self, pc: usize) -> Result<u64, Fault> {
        let map = MapRef::all()
            .find(|map| self.registers[1] == map_address(*map))
            .ok_or(Fault::Unknown(pc))?;
        if map == MapRef::Counters {
            return Ok(COUNTERS);
        }
        let at = self
            .stack_at(self.registers[2], 4)
            .ok_or(Fault::Access(pc, self.registers[2]))?;
        let mut key = [0; 20];
        let there = self.stack.len().min(at + key.len()) - at;
        key[..there].copy_from_slice(&self.stack[at..at + there]);
        if map == MapRef::Slots {
            let wanted = slot_index(self.skb.ifindex).to_le_bytes();
            return if key.starts_with(&wanted) {
                Ok(SLOT)
            } else {
                Err(Fault::Access(pc, self.registers[2]))
            };
        }
        Ok(match self.maps.lookup(map, &key)? {
            Some(value) => {
                self.value = value;
                VALUE
            }
            None => 0,
        })
    }
}

fn alu(insn: BpfInsn, dst: u64, src: u64) -> Option<u64> {
    let wide = insn.code & 0x07 == class::ALU64;
    let operand = if insn.code & SOURCE_REGISTER != 0 {
        src
    } else {
        i64::from(insn.immediate) as u64
    };
    let (a, b) = if wide {
        (dst, operand)
    } else {
        (dst & 0xffff_ffff, operand & 0xffff_ffff)
    };
    let bits = if wide { 63 } else { 31 };
    let value = match insn.code & 0xf0 {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x30 => a.checked_div(b)?,
        0x40 => a | b,
        0x50 => a & b,
        0x60 => a << (b & bits),
        0x70 => a >> (b & bits),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(b)?,
        0xa0 => a ^ b,
        0xb0 => b,
        0xd0 if insn.immediate == 16 => u64::from((dst as u16).swap_bytes()),
        0xd0 if insn.immediate == 32 => u64::from((dst as u32).swap_bytes()),
        _ => return None,
    };
    Some(if wide { value } else { value & 0xffff_ffff })
}

fn jumps(insn: BpfInsn, dst: u64, src: u64) -> Option<bool> {
    let operand = if insn.code & SOURCE_REGISTER != 0 {
        src
    } else {
        i64::from(insn.immediate) as u64
    };
    let (a, b) = if insn.code & 0x07 == class::JMP32 {
        (dst & 0xffff_ffff, operand & 0xffff_ffff)
    } else {
        (dst, operand)
    };
    Some(match insn.code & 0xf0 {
        0x00 => true,
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        0x40 => a & b != 0,
        0x50 => a != b,
        0xa0 => a < b,
        0xb0 => a <= b,
        _ => return None,
    })
}
