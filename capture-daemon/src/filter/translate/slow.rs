//! The slow way: each load is a call of `bpf_skb_load_bytes`, which reads any part of a packet.

use super::{Exits, Generator, advances, frame, mov, swap};
use crate::filter::{
    assemble::Label,
    insn::{Alu, BpfInsn, Cond, Helper, R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Reg, Size},
    ir::{Fragment, MAX_SHIFT, Op, Verdict},
    program::Part,
};

pub(super) struct Slow<'a> {
    generator: &'a mut Generator,
    exits: Exits,
    shifts: bool,
    labels: Vec<Label>,
    next_label: Label,
}

impl<'a> Slow<'a> {
    pub(super) fn new(generator: &'a mut Generator, exits: Exits, stages: &[Fragment]) -> Self {
        Self {
            generator,
            exits,
            shifts: advances(stages),
            labels: Vec::new(),
            next_label: exits.matched,
        }
    }

    pub(super) fn run(mut self, stages: &[Fragment]) {
        if self.shifts {
            let asm = &mut self.generator.asm;
            asm.emit(BpfInsn::alu32(Alu::Mov, R9, 0));
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
        }
    }

    fn fragment(&mut self, number: u16, fragment: &Fragment) {
        self.generator.asm.origin.part = Part::Start;
        self.generator.begin_fragment(fragment);
        self.labels = fragment
            .ops
            .iter()
            .map(|_| self.generator.asm.label())
            .collect();
        for (index, op) in fragment.ops.iter().enumerate() {
            self.generator.asm.bind(self.labels[index]);
            self.generator.asm.origin.part = Part::Stage(number, index as u32);
            self.operation(index, *op);
        }
    }

    fn operation(&mut self, index: usize, op: Op) {
        match op {
            Op::Load { size, offset } => self.load(R8, size, offset, false),
            Op::LoadIndirect { size, offset } => self.load(R8, size, offset, true),
            Op::HeaderLength { offset } => {
                self.load(R7, Size::Byte, offset, false);
                let asm = &mut self.generator.asm;
                asm.emit(BpfInsn::alu32(Alu::And, R7, 15));
                asm.emit(BpfInsn::alu32(Alu::Lsh, R7, 2));
            }
            Op::Jump(target) => {
                if target != index + 1 {
                    self.generator.asm.jump(self.labels[target]);
                }
            }
            Op::Branch {
                cond,
                operand,
                then,
                otherwise,
            } => self.generator.compare(
                cond,
                operand,
                (then, self.labels[then]),
                (otherwise, self.labels[otherwise]),
                index + 1,
            ),
            Op::Return(Verdict::Match) => self.generator.asm.jump(self.next_label),
            Op::Return(Verdict::A) => {
                let asm = &mut self.generator.asm;
                asm.branch(BpfInsn::branch32(Cond::Ne, R8, 0), self.next_label);
                asm.jump(self.exits.no_match);
            }
            Op::Advance => {
                let asm = &mut self.generator.asm;
                asm.branch(
                    BpfInsn::branch64(Cond::Gt, R8, MAX_SHIFT as i32),
                    self.exits.no_match,
                );
                asm.emit(BpfInsn::alu64_reg(Alu::Add, R9, R8));
                asm.emit(BpfInsn::store(Size::Word, R10, frame::SHIFT, R9));
                self.generator.within_packet(R9, self.exits);
            }
            op => {
                self.generator
                    .common(op, &self.labels, self.exits, self.shifts);
            }
        }
    }

    fn load(&mut self, dst: Reg, size: Size, offset: u32, indirect: bool) {
        let asm = &mut self.generator.asm;
        // The helper takes offsets up to `i32::MAX`; no packet is that long.
        let Ok(offset) = i32::try_from(offset) else {
            asm.jump(self.exits.no_match);
            return;
        };
        asm.emit(BpfInsn::alu32(Alu::Mov, R2, offset as u32));
        if indirect {
            asm.emit(BpfInsn::alu64_reg(Alu::Add, R2, R7));
        }
        if self.shifts {
            asm.emit(BpfInsn::alu64_reg(Alu::Add, R2, R9));
        }
        if indirect || self.shifts {
            asm.branch(
                BpfInsn::branch64(Cond::Gt, R2, i32::MAX),
                self.exits.no_match,
            );
        }
        asm.emit(mov(R1, R6));
        asm.emit(mov(R3, R10));
        asm.emit(BpfInsn::alu64(Alu::Add, R3, i32::from(frame::LOADED)));
        asm.emit(BpfInsn::alu32(Alu::Mov, R4, size.bytes()));
        asm.emit(BpfInsn::call(Helper::SkbLoadBytes));
        asm.branch(BpfInsn::branch64(Cond::Ne, R0, 0), self.exits.no_match);
        asm.emit(BpfInsn::load(size, dst, R10, frame::LOADED));
        if let Some(swap) = swap(dst, size) {
            asm.emit(swap);
        }
    }
}
