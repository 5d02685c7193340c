//! The fast way: loads through pointers into the linear part of the packet.

use super::{Exits, Generator, advances, context, frame, mov, swap};
use crate::filter::{
    assemble::Label,
    insn::{Alu, BpfInsn, Cond, R1, R2, R3, R4, R6, R7, R8, R9, R10, Reg, Size},
    ir::{Fragment, MAX_SHIFT, Op, Verdict},
    program::Part,
};

/// Farthest end of a load at a fixed place. The verifier follows packet pointers up to 65,535; the
/// beginning of the packet may have been moved as well.
const FARTHEST: u64 = 0xf000;
/// Farthest end of a load past X, and the largest X: together, with any shift, below 65,535.
const FARTHEST_INDIRECT: u64 = 0x6000;
const LARGEST_X: u32 = 0x7fff;

/// What is known on every way to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    /// Bytes from the beginning of the packet that guards have shown to be there.
    known: u32,
    /// r4 is the packet plus X, and so many bytes are there from it.
    known_past_x: Option<u32>,
    /// X is at most this.
    x_limit: u32,
}

impl Facts {
    /// What holds on both ways.
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

pub(super) struct Fast<'a> {
    generator: &'a mut Generator,
    exits: Exits,
    /// Where the slow way begins.
    slow: Label,
    /// Where a failed guard goes.
    short: Label,
    shifts: bool,
    /// Of the operation being translated.
    facts: Facts,
    /// Of the operations ahead that were jumped to.
    ahead: Vec<Option<Facts>>,
    labels: Vec<Label>,
    /// Of the next stage.
    next_stage: Option<Facts>,
    next_label: Label,
}

impl<'a> Fast<'a> {
    pub(super) fn new(
        generator: &'a mut Generator,
        exits: Exits,
        slow: Label,
        stages: &[Fragment],
    ) -> Self {
        let short = generator.asm.label();
        Self {
            generator,
            exits,
            slow,
            short,
            shifts: advances(stages),
            facts: Facts {
                known: 0,
                known_past_x: None,
                x_limit: 0,
            },
            ahead: Vec::new(),
            labels: Vec::new(),
            next_stage: None,
            next_label: exits.matched,
        }
    }

    pub(super) fn run(mut self, stages: &[Fragment]) {
        let asm = &mut self.generator.asm;
        asm.emit(BpfInsn::load(Size::Word, R9, R6, context::DATA));
        asm.emit(BpfInsn::load(Size::Word, R3, R6, context::DATA_END));
        if self.shifts {
            asm.emit(BpfInsn::store_constant(Size::Word, R10, frame::SHIFT, 0));
        }
        for (number, fragment) in stages.iter().enumerate() {
            let last = number + 1 == stages.len();
            self.next_label = if last {
                self.exits.matched
            } else {
                self.generator.asm.label()
            };
            self.fragment(number as u16, fragment);
            if !last {
                self.generator.asm.bind(self.next_label);
            }
            if let Some(facts) = self.next_stage.take() {
                self.facts = facts;
            }
        }
        if stages.is_empty() {
            self.generator.asm.jump(self.exits.matched);
        }
        self.short();
    }

    fn fragment(&mut self, number: u16, fragment: &Fragment) {
        self.generator.asm.origin.part = Part::Start;
        self.generator.begin_fragment(fragment);
        self.facts.x_written(0);
        self.ahead = vec![None; fragment.ops.len()];
        self.labels = fragment
            .ops
            .iter()
            .map(|_| self.generator.asm.label())
            .collect();
        for (index, op) in fragment.ops.iter().enumerate() {
            let fell_through = self.generator.asm.reachable();
            self.generator.asm.bind(self.labels[index]);
            if !self.generator.asm.reachable() {
                continue;
            }
            match (self.ahead[index], fell_through) {
                (Some(facts), true) => self.facts = self.facts.meet(facts),
                (Some(facts), false) => self.facts = facts,
                (None, _) => {}
            }
            self.generator.asm.origin.part = Part::Stage(number, index as u32);
            self.operation(index, *op);
        }
    }

    /// The operation at `target` can be reached with what is known now.
    fn reaches(&mut self, target: usize) {
        let facts = self.facts;
        let ahead = &mut self.ahead[target];
        *ahead = Some(ahead.map_or(facts, |other| other.meet(facts)));
    }

    fn matches(&mut self) {
        let facts = self.facts;
        self.next_stage = Some(self.next_stage.map_or(facts, |other| other.meet(facts)));
    }

    fn operation(&mut self, index: usize, op: Op) {
        match op {
            Op::Load { size, offset } => self.load(R8, size, offset),
            Op::HeaderLength { offset } => {
                self.load(R7, Size::Byte, offset);
                let asm = &mut self.generator.asm;
                asm.emit(BpfInsn::alu32(Alu::And, R7, 15));
                asm.emit(BpfInsn::alu32(Alu::Lsh, R7, 2));
                self.facts.x_written(60);
            }
            Op::LoadIndirect { size, offset } => self.load_indirect(size, offset),
            Op::Jump(target) => {
                self.reaches(target);
                if target != index + 1 {
                    self.generator.asm.jump(self.labels[target]);
                }
            }
            Op::Branch {
                cond,
                operand,
                then,
                otherwise,
            } => {
                self.reaches(then);
                self.reaches(otherwise);
                self.generator.compare(
                    cond,
                    operand,
                    (then, self.labels[then]),
                    (otherwise, self.labels[otherwise]),
                    index + 1,
                );
            }
            Op::Return(Verdict::Match) => {
                self.matches();
                self.generator.asm.jump(self.next_label);
            }
            Op::Return(Verdict::A) => {
                self.matches();
                let asm = &mut self.generator.asm;
                asm.branch(BpfInsn::branch32(Cond::Ne, R8, 0), self.next_label);
                asm.jump(self.exits.no_match);
            }
            Op::Advance => self.advance(),
            op => {
                if let Op::Lookup {
                    then, otherwise, ..
                }
                | Op::Bit {
                    then, otherwise, ..
                } = op
                {
                    self.facts.known_past_x = None;
                    self.reaches(then);
                    self.reaches(otherwise);
                }
                self.generator
                    .common(op, &self.labels, self.exits, self.shifts);
                self.after(op);
            }
        }
    }

    /// What an operation that both ways share does to what is known.
    fn after(&mut self, op: Op) {
        match op {
            Op::XConstant(k) => self.facts.x_written(k),
            Op::LoadXLength | Op::XRecall(_) | Op::ToX => self.facts.x_written(u32::MAX),
            // A helper may have been called, which leaves r4 undefined.
            Op::LoadAncillary(_) | Op::LoadCell(_) => self.facts.known_past_x = None,
            _ => {}
        }
    }

    fn load(&mut self, dst: Reg, size: Size, offset: u32) {
        let end = u64::from(offset) + u64::from(size.bytes());
        let asm = &mut self.generator.asm;
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

    fn load_indirect(&mut self, size: Size, offset: u32) {
        let end = u64::from(offset) + u64::from(size.bytes());
        let asm = &mut self.generator.asm;
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

    fn advance(&mut self) {
        let asm = &mut self.generator.asm;
        asm.branch(
            BpfInsn::branch64(Cond::Gt, R8, MAX_SHIFT as i32),
            self.exits.no_match,
        );
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R9, R8));
        asm.emit(BpfInsn::load(Size::Word, R1, R10, frame::SHIFT));
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R1, R8));
        asm.emit(BpfInsn::store(Size::Word, R10, frame::SHIFT, R1));
        self.generator.within_packet(R1, self.exits);
        self.facts.known = 0;
        self.facts.known_past_x = None;
    }

    /// A guard has failed: the packet is too short, or it is longer than its linear part.
    fn short(&mut self) {
        let asm = &mut self.generator.asm;
        asm.bind(self.short);
        asm.origin.part = Part::Short;
        asm.emit(BpfInsn::load(Size::Word, R1, R6, context::DATA));
        asm.emit(BpfInsn::load(Size::Word, R2, R6, context::LEN));
        asm.branch(BpfInsn::branch64(Cond::Gt, R2, 0xffff), self.slow);
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R1, R2));
        asm.branch(BpfInsn::branch64_reg(Cond::Gt, R1, R3), self.slow);
        asm.jump(self.exits.no_match);
    }
}
