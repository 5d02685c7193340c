//! The translator's input: classic instructions with their jumps resolved, and the few operations
//! beyond classic BPF that targets and tunnels need.

use super::{
    classic::{self, ANCILLARY_OFFSET, ClassicError, ClassicInsn, ClassicProgram},
    insn::{Alu, Cond, Size},
    program::MapRef,
};

/// The second operand of arithmetic and comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    K(u32),
    X,
}

/// Metadata of a packet that is not in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ancillary {
    Protocol,
    PacketType,
    Ifindex,
    Mark,
    Queue,
    Hash,
    Cpu,
    VlanTag,
    VlanPresent,
    VlanProtocol,
    Random,
}

/// The result of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Match,
    NoMatch,
    /// A match if A is not 0.
    A,
}

/// One operation. Jump targets are indices into the same fragment, always forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// A = packet\[offset\]
    Load {
        size: Size,
        offset: u32,
    },
    /// A = packet\[X + offset\]
    LoadIndirect {
        size: Size,
        offset: u32,
    },
    /// X = 4 * (packet\[offset\] & 15)
    HeaderLength {
        offset: u32,
    },
    LoadAncillary(Ancillary),
    /// A = length of the packet
    LoadLength,
    LoadXLength,
    Constant(u32),
    XConstant(u32),
    /// A = M\[cell\]
    LoadScratch(u8),
    LoadXScratch(u8),
    /// M\[cell\] = A
    StoreScratch(u8),
    StoreXScratch(u8),
    Arithmetic(Alu, Operand),
    Negate,
    /// X = A
    ToX,
    /// A = X
    ToA,
    Jump(usize),
    Branch {
        cond: Cond,
        operand: Operand,
        then: usize,
        otherwise: usize,
    },
    Return(Verdict),

    // Beyond classic BPF.
    /// The packet now begins A bytes (at most [`MAX_SHIFT`], else no match) further on; the bytes
    /// before are no longer accessible.
    Advance,
    /// word of the key = A, in network order
    Key(u8),
    /// Whether the key's first `words` words are in a hash map, or their address in a trie.
    Lookup {
        map: MapRef,
        words: u8,
        then: usize,
        otherwise: usize,
    },
    /// Whether bit A of a bitmap is set.
    Bit {
        map: MapRef,
        then: usize,
        otherwise: usize,
    },
    /// A = the map's only value
    LoadValue(MapRef),
}

/// Maximum of one [`Op::Advance`]: an Ethernet header with tags, the longest IPv4 header, UDP, and the
/// longest Geneve header are 386 bytes.
pub(super) const MAX_SHIFT: u32 = 1023;

/// Ethernet types of VLAN tags that libpcap's `vlan` knows: 802.1Q, 802.1ad, and the one before the
/// standard.
pub(super) const VLAN_TYPES: [u32; 3] = [0x8100, 0x88a8, 0x9100];

/// The scratch cell that [`vlan_in_bytes`](crate::vlan_in_bytes) uses; classic BPF has those from 0 to 15.
pub(super) const VLAN_SCRATCH: u8 = 16;
/// Scratch cells.
pub(super) const SCRATCH_CELLS: u8 = VLAN_SCRATCH + 1;

/// A piece of a filter with one entry; every path ends in a verdict.
#[derive(Debug, Clone, Default)]
pub(super) struct Fragment {
    pub(super) ops: Vec<Op>,
}

impl Fragment {
    /// Decodes a classic program; an invalid one is an error.
    pub(super) fn decode(program: &ClassicProgram) -> Result<Self, ClassicError> {
        let insns = program.instructions();
        if insns.len() > classic::MAX_CLASSIC_INSTRUCTIONS {
            return Err(ClassicError::TooLong(insns.len()));
        }
        let last = insns.last().ok_or(ClassicError::Empty)?;
        let ends_in_jump = last.code & 0x07 == classic::JMP;
        if last.code & 0x07 != classic::RET && !ends_in_jump {
            return Err(ClassicError::NoReturn);
        }
        let ops = insns
            .iter()
            .enumerate()
            .map(|(index, insn)| decode(index, *insn, insns.len()))
            .collect::<Result<_, _>>()?;
        Ok(Self { ops })
    }

    /// The scratch cells that are read anywhere in the fragment, as bits.
    pub(super) fn scratch_read(&self) -> u32 {
        self.ops.iter().fold(0, |cells, op| match op {
            Op::LoadScratch(cell) | Op::LoadXScratch(cell) => cells | 1 << cell,
            _ => cells,
        })
    }
}

fn decode(index: usize, insn: ClassicInsn, length: usize) -> Result<Op, ClassicError> {
    let k = insn.k;
    let unknown = ClassicError::Unknown {
        index,
        code: insn.code,
    };
    let cell = || match u8::try_from(k) {
        Ok(cell) if cell < 16 => Ok(cell),
        _ => Err(ClassicError::ScratchOutside { index, cell: k }),
    };
    let ahead = |skip: u64| {
        usize::try_from(index as u64 + 1 + skip)
            .ok()
            .filter(|target| *target < length)
            .ok_or(ClassicError::JumpOutside(index))
    };
    let operand = if insn.code & 0x08 == 0 {
        Operand::K(k)
    } else {
        Operand::X
    };
    Ok(match (insn.code & 0x07, insn.code & 0xf8) {
        (classic::LD, mode) => match (mode & 0xe0, classic::load_size(insn.code)) {
            (classic::ABS, Some(size)) => match k.checked_sub(ANCILLARY_OFFSET) {
                Some(number) => Op::LoadAncillary(ancillary(index, number)?),
                None => Op::Load { size, offset: k },
            },
            (classic::IND, Some(size)) => Op::LoadIndirect { size, offset: k },
            (classic::IMM, Some(Size::Word)) => Op::Constant(k),
            (classic::LEN, Some(Size::Word)) => Op::LoadLength,
            (classic::MEM, Some(Size::Word)) => Op::LoadScratch(cell()?),
            _ => return Err(unknown),
        },
        (classic::LDX, mode) => match (mode & 0xe0, classic::load_size(insn.code)) {
            (classic::MSH, Some(Size::Byte)) => Op::HeaderLength { offset: k },
            (classic::IMM, Some(Size::Word)) => Op::XConstant(k),
            (classic::LEN, Some(Size::Word)) => Op::LoadXLength,
            (classic::MEM, Some(Size::Word)) => Op::LoadXScratch(cell()?),
            _ => return Err(unknown),
        },
        (classic::ST, 0) => Op::StoreScratch(cell()?),
        (classic::STX, 0) => Op::StoreXScratch(cell()?),
        (classic::ALU, operation) => Op::Arithmetic(
            match operation & 0xf0 {
                0x00 => Alu::Add,
                0x10 => Alu::Sub,
                0x20 => Alu::Mul,
                0x30 => Alu::Div,
                0x40 => Alu::Or,
                0x50 => Alu::And,
                0x60 => Alu::Lsh,
                0x70 => Alu::Rsh,
                0x80 => return Ok(Op::Negate),
                0x90 => Alu::Mod,
                0xa0 => Alu::Xor,
                _ => return Err(unknown),
            },
            operand,
        ),
        (classic::JMP, 0) => {
            // libpcap writes a backward jump as a negative number into the unsigned constant.
            if (k as i32) < 0 {
                return Err(ClassicError::Loop(index));
            }
            Op::Jump(ahead(u64::from(k))?)
        }
        (classic::JMP, operation) => Op::Branch {
            cond: match operation & 0xf0 {
                0x10 => Cond::Eq,
                0x20 => Cond::Gt,
                0x30 => Cond::Ge,
                0x40 => Cond::Set,
                _ => return Err(unknown),
            },
            operand,
            then: ahead(u64::from(insn.jt))?,
            otherwise: ahead(u64::from(insn.jf))?,
        },
        (classic::RET, 0x00) if k == 0 => Op::Return(Verdict::NoMatch),
        (classic::RET, 0x00) => Op::Return(Verdict::Match),
        (classic::RET, 0x10) => Op::Return(Verdict::A),
        (classic::MISC, 0x00) => Op::ToX,
        (classic::MISC, 0x80) => Op::ToA,
        _ => return Err(unknown),
    })
}

/// The numbers are those of `SKF_AD_*` in `linux/filter.h`.
fn ancillary(index: usize, number: u32) -> Result<Ancillary, ClassicError> {
    Ok(match number {
        0 => Ancillary::Protocol,
        4 => Ancillary::PacketType,
        8 => Ancillary::Ifindex,
        20 => Ancillary::Mark,
        24 => Ancillary::Queue,
        32 => Ancillary::Hash,
        36 => Ancillary::Cpu,
        44 => Ancillary::VlanTag,
        48 => Ancillary::VlanPresent,
        56 => Ancillary::Random,
        60 => Ancillary::VlanProtocol,
        _ => return Err(ClassicError::Ancillary { index, number }),
    })
}
