//! Classic BPF: libpcap's output.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::insn::Size;

/// Maximum instructions of a classic program (`BPF_MAXINSNS` of the kernel).
pub const MAX_CLASSIC_INSTRUCTIONS: usize = 4096;

/// Where the kernel's ancillary data begins (`SKF_AD_OFF`, `linux/filter.h`).
pub const ANCILLARY_OFFSET: u32 = 0xffff_f000;

/// One instruction of classic BPF (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassicInsn {
    /// Class, size, mode, operation, source.
    pub code: u16,
    /// Instructions to skip when the comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// A program of classic BPF: packet in, verdict out (0: no match).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassicProgram(Vec<ClassicInsn>);

/// Why instructions are not a valid classic program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ClassicError {
    /// No instruction at all.
    #[error("the classic program is empty")]
    Empty,
    /// More than [`MAX_CLASSIC_INSTRUCTIONS`].
    #[error("the classic program has {0} instructions; the most is {MAX_CLASSIC_INSTRUCTIONS}")]
    TooLong(usize),
    /// A jump past the last instruction.
    #[error("classic instruction {0} jumps out of the program")]
    JumpOutside(usize),
    /// A jump backwards: a loop.
    #[error(
        "the expression needs a loop (`protochain`), which a filter in the kernel cannot have; for \
         TCP, UDP and SCTP ports behind IPv6 extension headers use --port (classic instruction {0} \
         jumps back)"
    )]
    Loop(usize),
    /// The last instruction does not return.
    #[error("the classic program does not end with a return")]
    NoReturn,
    /// An instruction that classic BPF does not have.
    #[error("classic instruction {index} has the unknown code {code:#06x}")]
    Unknown {
        /// Its index.
        index: usize,
        /// Its code.
        code: u16,
    },
    /// A scratch memory cell past the sixteenth.
    #[error("classic instruction {index} uses scratch memory cell {cell}; the last one is 15")]
    ScratchOutside {
        /// Its index.
        index: usize,
        /// The cell.
        cell: u32,
    },
    /// An ancillary load that a filter cannot have.
    #[error("classic instruction {index} loads ancillary data {number}, which filters do not have")]
    Ancillary {
        /// Its index.
        index: usize,
        /// Its number past `SKF_AD_OFF`.
        number: u32,
    },
}

impl ClassicProgram {
    /// Wraps instructions without checking them; the translator checks them.
    #[must_use]
    pub const fn new(instructions: Vec<ClassicInsn>) -> Self {
        Self(instructions)
    }

    /// The program that matches no packet.
    #[must_use]
    pub fn nothing() -> Self {
        Self(vec![ClassicInsn {
            code: RET,
            jt: 0,
            jf: 0,
            k: 0,
        }])
    }

    /// The program that matches every packet.
    #[must_use]
    pub fn everything() -> Self {
        Self(vec![ClassicInsn {
            code: RET,
            jt: 0,
            jf: 0,
            k: u32::MAX,
        }])
    }

    /// The instructions.
    #[must_use]
    pub fn instructions(&self) -> &[ClassicInsn] {
        &self.0
    }

    /// True when no packet can match.
    #[must_use]
    pub fn matches_nothing(&self) -> bool {
        self.0.iter().all(|insn| insn.code != RET_A)
            && self.0.iter().all(|insn| insn.code != RET || insn.k == 0)
    }
}

pub(super) const LD: u16 = 0x00;
pub(super) const LDX: u16 = 0x01;
pub(super) const ST: u16 = 0x02;
pub(super) const STX: u16 = 0x03;
pub(super) const ALU: u16 = 0x04;
pub(super) const JMP: u16 = 0x05;
pub(super) const RET: u16 = 0x06;
pub(super) const RET_A: u16 = 0x16;
pub(super) const MISC: u16 = 0x07;

pub(super) const IMM: u16 = 0x00;
pub(super) const ABS: u16 = 0x20;
pub(super) const IND: u16 = 0x40;
pub(super) const MEM: u16 = 0x60;
pub(super) const LEN: u16 = 0x80;
pub(super) const MSH: u16 = 0xa0;

/// The width of a classic load; `None` if the code is not a load.
pub(super) const fn load_size(code: u16) -> Option<Size> {
    match code & 0x18 {
        0x00 => Some(Size::Word),
        0x08 => Some(Size::Half),
        0x10 => Some(Size::Byte),
        _ => None,
    }
}

/// An instruction with its index, in the notation of `tcpdump -d`.
pub(super) struct Listed(pub(super) usize, pub(super) ClassicInsn);

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(index, insn) = *self;
        let k = insn.k;
        let by_register = insn.code & 0x08 != 0;
        let load = match load_size(insn.code) {
            Some(Size::Half) => "ldh",
            Some(Size::Byte) => "ldb",
            _ => "ld",
        };
        let text = match (insn.code & 0x07, insn.code & 0xe0) {
            (LD, ABS) => match ancillary_name(k) {
                Some(name) => format!("{load:<8} [{name}]"),
                None => format!("{load:<8} [{k}]"),
            },
            (LD, IND) => format!("{load:<8} [x + {k}]"),
            (LD, IMM) => format!("{:<8} #{k:#x}", "ld"),
            (LD, LEN) => format!("{:<8} #pktlen", "ld"),
            (LD, MEM) => format!("{:<8} M[{k}]", "ld"),
            (LDX, IMM) => format!("{:<8} #{k:#x}", "ldx"),
            (LDX, LEN) => format!("{:<8} #pktlen", "ldx"),
            (LDX, MEM) => format!("{:<8} M[{k}]", "ldx"),
            (LDX, MSH) => format!("{:<8} 4*([{k}]&0xf)", "ldxb"),
            (ST, _) => format!("{:<8} M[{k}]", "st"),
            (STX, _) => format!("{:<8} M[{k}]", "stx"),
            (ALU, _) => {
                let name = match insn.code & 0xf0 {
                    0x00 => "add",
                    0x10 => "sub",
                    0x20 => "mul",
                    0x30 => "div",
                    0x40 => "or",
                    0x50 => "and",
                    0x60 => "lsh",
                    0x70 => "rsh",
                    0x80 => return write!(f, "({index:03}) neg"),
                    0x90 => "mod",
                    _ => "xor",
                };
                if by_register {
                    format!("{name:<8} x")
                } else {
                    format!("{name:<8} #{k:#x}")
                }
            }
            (JMP, _) => {
                let name = match insn.code & 0xf0 {
                    0x00 => {
                        let target = index as i64 + 1 + i64::from(k as i32);
                        return write!(f, "({index:03}) {:<8} {target}", "ja");
                    }
                    0x10 => "jeq",
                    0x20 => "jgt",
                    0x30 => "jge",
                    _ => "jset",
                };
                let operand = if by_register {
                    "x".to_owned()
                } else {
                    format!("#{k:#x}")
                };
                let (jt, jf) = (
                    index + 1 + usize::from(insn.jt),
                    index + 1 + usize::from(insn.jf),
                );
                format!("{name:<8} {operand:<16} jt {jt} jf {jf}")
            }
            (RET, _) if insn.code == RET_A => format!("{:<8} a", "ret"),
            (RET, _) => format!("{:<8} #{k}", "ret"),
            (MISC, _) if insn.code & 0xf8 == 0x80 => "txa".to_owned(),
            (MISC, _) => "tax".to_owned(),
            _ => format!("code {:#06x}", insn.code),
        };
        write!(f, "({index:03}) {text}")
    }
}

/// The name of an ancillary load's offset.
fn ancillary_name(k: u32) -> Option<&'static str> {
    Some(match k.checked_sub(ANCILLARY_OFFSET)? {
        0 => "protocol",
        4 => "packet type",
        8 => "ifindex",
        20 => "mark",
        24 => "queue",
        32 => "hash",
        36 => "cpu",
        44 => "vlan tag",
        48 => "vlan tag present",
        56 => "random",
        60 => "vlan protocol",
        _ => return None,
    })
}

impl fmt::Display for ClassicProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, insn) in self.0.iter().enumerate() {
            writeln!(f, "{}", Listed(index, *insn))?;
        }
        Ok(())
    }
}
