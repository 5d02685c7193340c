//! eBPF instructions: the part of the instruction set that filters use (RFC 9669).

use std::fmt;

/// One eBPF instruction slot, laid out as the kernel reads it (`struct bpf_insn`, `linux/bpf.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BpfInsn {
    /// Class, operation and source.
    pub code: u8,
    /// Destination and source register, four bits each.
    pub registers: u8,
    /// For a jump: slots from the next instruction; for a memory access: bytes from the register.
    pub offset: i16,
    /// The constant.
    pub immediate: i32,
}

const _: () = assert!(size_of::<BpfInsn>() == 8);

/// An eBPF register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reg(pub(super) u8);

pub(super) const R0: Reg = Reg(0);
pub(super) const R1: Reg = Reg(1);
pub(super) const R2: Reg = Reg(2);
pub(super) const R3: Reg = Reg(3);
pub(super) const R4: Reg = Reg(4);
pub(super) const R6: Reg = Reg(6);
pub(super) const R7: Reg = Reg(7);
pub(super) const R8: Reg = Reg(8);
pub(super) const R9: Reg = Reg(9);
pub(super) const R10: Reg = Reg(10);

/// Instruction classes.
pub(super) mod class {
    pub(crate) const LD: u8 = 0x00;
    pub(crate) const LDX: u8 = 0x01;
    pub(crate) const ST: u8 = 0x02;
    pub(crate) const STX: u8 = 0x03;
    pub(crate) const ALU: u8 = 0x04;
    pub(crate) const JMP: u8 = 0x05;
    pub(crate) const JMP32: u8 = 0x06;
    pub(crate) const ALU64: u8 = 0x07;
}

/// Set in arithmetic and jumps whose second operand is a register.
pub(super) const SOURCE_REGISTER: u8 = 0x08;
/// `BPF_MEM`.
pub(super) const MODE_MEM: u8 = 0x60;
/// The code of the first slot of a 64-bit constant (`BPF_LD | BPF_IMM | BPF_DW`).
pub(super) const LOAD_64: u8 = 0x18;
/// Source register of [`LOAD_64`]: the constant is a map's file descriptor (`BPF_PSEUDO_MAP_FD`).
pub(super) const PSEUDO_MAP_FD: u8 = 1;

/// Width of a memory access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Byte,
    Half,
    Word,
    Double,
}

impl Size {
    /// Bytes.
    pub(super) const fn bytes(self) -> u32 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Double => 8,
        }
    }

    pub(super) const fn bits(self) -> u8 {
        match self {
            Self::Word => 0x00,
            Self::Half => 0x08,
            Self::Byte => 0x10,
            Self::Double => 0x18,
        }
    }

    pub(super) const fn of(code: u8) -> Self {
        match code & 0x18 {
            0x00 => Self::Word,
            0x08 => Self::Half,
            0x10 => Self::Byte,
            _ => Self::Double,
        }
    }
}

/// Arithmetic, by its operation bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Neg = 0x80,
    Mod = 0x90,
    Xor = 0xa0,
    Mov = 0xb0,
}

/// Comparisons, all unsigned, by their operation bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cond {
    Eq = 0x10,
    Gt = 0x20,
    Ge = 0x30,
    Set = 0x40,
    Ne = 0x50,
    Lt = 0xa0,
    Le = 0xb0,
}

impl Cond {
    /// The comparison that holds exactly when this one does not; [`Cond::Set`] has none.
    pub(super) const fn inverse(self) -> Option<Self> {
        Some(match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Gt => Self::Le,
            Self::Le => Self::Gt,
            Self::Ge => Self::Lt,
            Self::Lt => Self::Ge,
            Self::Set => return None,
        })
    }
}

/// Helper functions of the kernel (`linux/bpf.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Helper {
    MapLookupElem = 1,
    GetPrandomU32 = 7,
    GetSmpProcessorId = 8,
    TailCall = 12,
    SkbLoadBytes = 26,
    GetHashRecalc = 34,
}

impl BpfInsn {
    /// Builds an instruction.
    pub(super) const fn new(code: u8, dst: Reg, src: Reg, offset: i16, immediate: i32) -> Self {
        let registers = if cfg!(target_endian = "little") {
            src.0 << 4 | dst.0
        } else {
            dst.0 << 4 | src.0
        };
        Self {
            code,
            registers,
            offset,
            immediate,
        }
    }

    /// The destination register.
    pub(super) const fn dst(&self) -> Reg {
        if cfg!(target_endian = "little") {
            Reg(self.registers & 0x0f)
        } else {
            Reg(self.registers >> 4)
        }
    }

    /// The source register.
    pub(super) const fn src(&self) -> Reg {
        if cfg!(target_endian = "little") {
            Reg(self.registers >> 4)
        } else {
            Reg(self.registers & 0x0f)
        }
    }

    /// `dst = dst op constant` on 32 bits; the upper half becomes 0.
    pub(super) const fn alu32(op: Alu, dst: Reg, constant: u32) -> Self {
        Self::new(class::ALU | op as u8, dst, R0, 0, constant as i32)
    }

    /// `dst = dst op src` on 32 bits; the upper half becomes 0.
    pub(super) const fn alu32_reg(op: Alu, dst: Reg, src: Reg) -> Self {
        Self::new(class::ALU | op as u8 | SOURCE_REGISTER, dst, src, 0, 0)
    }

    /// `dst = dst op constant` on 64 bits; the constant is sign-extended.
    pub(super) const fn alu64(op: Alu, dst: Reg, constant: i32) -> Self {
        Self::new(class::ALU64 | op as u8, dst, R0, 0, constant)
    }

    /// `dst = dst op src` on 64 bits.
    pub(super) const fn alu64_reg(op: Alu, dst: Reg, src: Reg) -> Self {
        Self::new(class::ALU64 | op as u8 | SOURCE_REGISTER, dst, src, 0, 0)
    }

    /// The lower `bits` (16, 32) of `dst` between network and machine order; the rest becomes 0.
    pub(super) const fn network_order(dst: Reg, bits: i32) -> Self {
        Self::new(class::ALU | 0xd0 | SOURCE_REGISTER, dst, R0, 0, bits)
    }

    /// `dst = *(size *)(src + offset)`.
    pub(super) const fn load(size: Size, dst: Reg, src: Reg, offset: i16) -> Self {
        Self::new(class::LDX | MODE_MEM | size.bits(), dst, src, offset, 0)
    }

    /// `*(size *)(dst + offset) = src`.
    pub(super) const fn store(size: Size, dst: Reg, offset: i16, src: Reg) -> Self {
        Self::new(class::STX | MODE_MEM | size.bits(), dst, src, offset, 0)
    }

    /// `*(size *)(dst + offset) = constant`.
    pub(super) const fn store_constant(size: Size, dst: Reg, offset: i16, constant: i32) -> Self {
        Self::new(
            class::ST | MODE_MEM | size.bits(),
            dst,
            R0,
            offset,
            constant,
        )
    }

    /// Calls a helper: arguments in r1 to r5, result in r0.
    pub(super) const fn call(helper: Helper) -> Self {
        Self::new(class::JMP | 0x80, R0, R0, 0, helper as i32)
    }

    /// Ends the program with r0.
    pub(super) const fn exit() -> Self {
        Self::new(class::JMP | 0x90, R0, R0, 0, 0)
    }

    /// An unconditional jump, with offset 0 for now.
    pub(super) const fn jump() -> Self {
        Self::new(class::JMP, R0, R0, 0, 0)
    }

    /// A comparison of all 64 bits with a constant, with offset 0 for now.
    pub(super) const fn branch64(cond: Cond, dst: Reg, constant: i32) -> Self {
        Self::new(class::JMP | cond as u8, dst, R0, 0, constant)
    }

    /// A comparison of all 64 bits, with offset 0 for now.
    pub(super) const fn branch64_reg(cond: Cond, dst: Reg, src: Reg) -> Self {
        Self::new(class::JMP | cond as u8 | SOURCE_REGISTER, dst, src, 0, 0)
    }

    /// A comparison of the lower 32 bits with a constant, with offset 0 for now.
    pub(super) const fn branch32(cond: Cond, dst: Reg, constant: u32) -> Self {
        Self::new(class::JMP32 | cond as u8, dst, R0, 0, constant as i32)
    }

    /// A comparison of the lower 32 bits, with offset 0 for now.
    pub(super) const fn branch32_reg(cond: Cond, dst: Reg, src: Reg) -> Self {
        Self::new(class::JMP32 | cond as u8 | SOURCE_REGISTER, dst, src, 0, 0)
    }

    /// True for an instruction after which the next one is not reached.
    pub(super) const fn ends_block(&self) -> bool {
        self.code == class::JMP || self.code == class::JMP | 0x90
    }
}

impl fmt::Display for BpfInsn {
    /// In the notation of the kernel's verifier, as bpftool prints it too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dst, src, offset, immediate) =
            (self.dst().0, self.src().0, self.offset, self.immediate);
        let by_register = self.code & SOURCE_REGISTER != 0;
        match self.code & 0x07 {
            class::LD if self.code == LOAD_64 => write!(f, "r{dst} = {immediate:#x} ll"),
            class::LD => Ok(()),
            class::LDX => write!(f, "r{dst} = *({} *)(r{src} {offset:+})", self.width()),
            class::ST => write!(f, "*({} *)(r{dst} {offset:+}) = {immediate}", self.width()),
            class::STX => write!(f, "*({} *)(r{dst} {offset:+}) = r{src}", self.width()),
            class @ (class::ALU | class::ALU64) => {
                let letter = if class == class::ALU { 'w' } else { 'r' };
                let operator = match self.code & 0xf0 {
                    0x00 => "+=",
                    0x10 => "-=",
                    0x20 => "*=",
                    0x30 => "/=",
                    0x40 => "|=",
                    0x50 => "&=",
                    0x60 => "<<=",
                    0x70 => ">>=",
                    0x80 => return write!(f, "{letter}{dst} = -{letter}{dst}"),
                    0x90 => "%=",
                    0xa0 => "^=",
                    0xb0 => "=",
                    _ => return write!(f, "r{dst} = be{immediate} r{dst}"),
                };
                if by_register {
                    write!(f, "{letter}{dst} {operator} {letter}{src}")
                } else if class == class::ALU {
                    write!(f, "{letter}{dst} {operator} {:#x}", immediate as u32)
                } else {
                    write!(f, "{letter}{dst} {operator} {immediate}")
                }
            }
            class => {
                let letter = if class == class::JMP32 { 'w' } else { 'r' };
                let operator = match self.code & 0xf0 {
                    0x00 => return write!(f, "goto {offset:+}"),
                    0x80 => return write!(f, "call {}", helper_name(immediate)),
                    0x90 => return write!(f, "exit"),
                    0x10 => "==",
                    0x20 => ">",
                    0x30 => ">=",
                    0x40 => "&",
                    0x50 => "!=",
                    0xa0 => "<",
                    0xb0 => "<=",
                    _ => return write!(f, "code {:#04x}", self.code),
                };
                if by_register {
                    write!(
                        f,
                        "if {letter}{dst} {operator} {letter}{src} goto {offset:+}"
                    )
                } else if class == class::JMP32 {
                    write!(
                        f,
                        "if w{dst} {operator} {:#x} goto {offset:+}",
                        immediate as u32
                    )
                } else {
                    write!(f, "if r{dst} {operator} {immediate} goto {offset:+}")
                }
            }
        }
    }
}

impl BpfInsn {
    const fn width(&self) -> &'static str {
        match Size::of(self.code) {
            Size::Byte => "u8",
            Size::Half => "u16",
            Size::Word => "u32",
            Size::Double => "u64",
        }
    }
}

fn helper_name(number: i32) -> String {
    match number {
        1 => "bpf_map_lookup_elem".into(),
        7 => "bpf_get_prandom_u32".into(),
        8 => "bpf_get_smp_processor_id".into(),
        12 => "bpf_tail_call".into(),
        26 => "bpf_skb_load_bytes".into(),
        34 => "bpf_get_hash_recalc".into(),
        other => format!("helper#{other}"),
    }
}
