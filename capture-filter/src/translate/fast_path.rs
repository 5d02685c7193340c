//! The fast path: direct packet access to the linear part of the packet.

use super::{
    codegen::{Codegen, PacketReader},
    context, frame, mov, swap,
};
use crate::{
    assemble::{Assembler, Label},
    insn::{Alu, BpfInsn, Cond, R1, R2, R3, R4, R6, R7, R8, R9, R10, Reg, Size},
    program::Part,
};

/// Farthest end of a load at a fixed offset. The verifier follows packet pointers up to 65,535; the
/// beginning of the packet may have been moved as well.
const FARTHEST: u64 = 0xf000;
/// Farthest end of a load past X, and the largest X: together, with any shift, below 65,535.
const FARTHEST_INDIRECT: u64 = 0x6000;
const LARGEST_X: u32 = 0x7fff;

/// Facts that hold on every path to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    /// Bytes from the start of the packet that have been checked to be there.
    known: u32,
    /// r4 is the packet plus X, and this many bytes from there have been checked.
    known_past_x: Option<u32>,
    /// Upper bound of X.
    x_limit: u32,
}

impl Facts {
    /// The facts that hold on both paths.
    fn meet(self, other: Self) -> Self {
        Self {
            known: self.known.min(other.known),
            known_past_x: match (self.known_past_x, other.known_past_x) {
                (Some(one), Some(two)) => Some(one.min(two)),
                _ => None,
            },
            x_limit: self.x_limit.max(other.x_limit),
        }
    }

    const fn x_written(&mut self, limit: u32) {
        self.known_past_x = None;
        self.x_limit = limit;
    }
}

pub(super) struct FastPath {
    /// The start of the slow path.
    slow: Label,
    /// The target of a failed bounds check.
    short: Label,
    /// The facts for the current operation.
    facts: Facts,
    /// The facts for operations ahead that were jumped to.
    ahead: Vec<Option<Facts>>,
    /// The facts for the next stage.
    next_stage: Option<Facts>,
}

impl FastPath {
    pub(super) const fn new(asm: &mut Assembler, slow: Label) -> Self {
        Self {
            slow,
            short: asm.label(),
            facts: Facts {
                known: 0,
                known_past_x: None,
                x_limit: 0,
            },
            ahead: Vec::new(),
            next_stage: None,
        }
    }
}

impl PacketReader for FastPath {
    fn begin(&mut self, codegen: &mut Codegen<'_>) {
        let asm = &mut codegen.generator.asm;
        asm.emit(BpfInsn::load(Size::Word, R9, R6, context::DATA));
        asm.emit(BpfInsn::load(Size::Word, R3, R6, context::DATA_END));
    }

    fn load(&mut self, codegen: &mut Codegen<'_>, dst: Reg, size: Size, offset: u32) {
        let end = u64::from(offset) + u64::from(size.bytes());
        let asm = &mut codegen.generator.asm;
        if end > FARTHEST {
            asm.jump(self.slow);
            return;
        }
        let end = end as u32;
        if end > self.facts.known {
            asm.emit(mov(R1, R9));
            asm.emit(BpfInsn::alu64(Alu::Add, R1, end as i32));
            asm.branch(BpfInsn::branch64_reg(Cond::Gt, R1, R3), self.short);
            self.facts.known = end;
        }
        if let Ok(offset) = i16::try_from(offset) {
            asm.emit(BpfInsn::load(size, dst, R9, offset));
        } else {
            asm.emit(mov(R1, R9));
            asm.emit(BpfInsn::alu64(Alu::Add, R1, offset as i32));
            asm.emit(BpfInsn::load(size, dst, R1, 0));
        }
        if let Some(swap) = swap(dst, size) {
            asm.emit(swap);
        }
    }

    fn load_indirect(&mut self, codegen: &mut Codegen<'_>, size: Size, offset: u32) {
        let end = u64::from(offset) + u64::from(size.bytes());
        let asm = &mut codegen.generator.asm;
        if end > FARTHEST_INDIRECT {
            asm.jump(self.slow);
            return;
        }
        let end = end as u32;
        if self.facts.known_past_x.is_none() {
            if self.facts.x_limit > LARGEST_X {
                asm.branch(BpfInsn::branch64(Cond::Gt, R7, LARGEST_X as i32), self.slow);
                self.facts.x_limit = LARGEST_X;
            }
            asm.emit(mov(R4, R9));
            asm.emit(BpfInsn::alu64_reg(Alu::Add, R4, R7));
            self.facts.known_past_x = Some(0);
        }
        if self.facts.known_past_x < Some(end) {
            asm.emit(mov(R1, R4));
            asm.emit(BpfInsn::alu64(Alu::Add, R1, end as i32));
            asm.branch(BpfInsn::branch64_reg(Cond::Gt, R1, R3), self.short);
            self.facts.known_past_x = Some(end);
        }
        // `FARTHEST_INDIRECT` fits in the 16 bits of an offset.
        asm.emit(BpfInsn::load(size, R8, R4, offset as i16));
        if let Some(swap) = swap(R8, size) {
            asm.emit(swap);
        }
    }

    fn advance(&mut self, codegen: &mut Codegen<'_>) {
        let asm = &mut codegen.generator.asm;
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R9, R8));
        asm.emit(BpfInsn::load(Size::Word, R1, R10, frame::SHIFT));
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R1, R8));
        asm.emit(BpfInsn::store(Size::Word, R10, frame::SHIFT, R1));
        codegen.within_packet(R1);
        self.facts.known = 0;
        self.facts.known_past_x = None;
    }

    /// A bounds check has failed: the packet is too short, or it is longer than its linear part.
    fn end(&mut self, codegen: &mut Codegen<'_>) {
        let asm = &mut codegen.generator.asm;
        asm.bind(self.short);
        asm.origin.part = Part::Short;
        asm.emit(BpfInsn::load(Size::Word, R1, R6, context::DATA));
        asm.emit(BpfInsn::load(Size::Word, R2, R6, context::LEN));
        asm.branch(BpfInsn::branch64(Cond::Gt, R2, 0xffff), self.slow);
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R1, R2));
        asm.branch(BpfInsn::branch64_reg(Cond::Gt, R1, R3), self.slow);
        asm.jump(codegen.exits.no_match);
    }

    /// The end of the linear part was in r3, the packet plus X in r4.
    fn after_call(&mut self, codegen: &mut Codegen<'_>) {
        let end = BpfInsn::load(Size::Word, R3, R6, context::DATA_END);
        codegen.generator.asm.emit(end);
        self.facts.known_past_x = None;
    }

    fn begin_stage(&mut self, operations: usize) {
        self.facts.x_written(0);
        self.ahead = vec![None; operations];
    }

    fn begin_operation(&mut self, index: usize, falls_through: bool) {
        match (self.ahead[index], falls_through) {
            (Some(facts), true) => self.facts = self.facts.meet(facts),
            (Some(facts), false) => self.facts = facts,
            (None, _) => {}
        }
    }

    fn x_written(&mut self, limit: u32) {
        self.facts.x_written(limit);
    }

    fn reaches(&mut self, target: usize) {
        let facts = self.facts;
        let ahead = &mut self.ahead[target];
        *ahead = Some(ahead.map_or(facts, |other| other.meet(facts)));
    }

    fn reaches_next_stage(&mut self) {
        let facts = self.facts;
        self.next_stage = Some(self.next_stage.map_or(facts, |other| other.meet(facts)));
    }

    fn end_stage(&mut self) {
        if let Some(facts) = self.next_stage.take() {
            self.facts = facts;
        }
    }
}
