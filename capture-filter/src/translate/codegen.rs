//! Generates code for the stages of a filter, operation by operation; reading the packet is left to a
//! [`PacketReader`].

use super::{Exits, Generator, context, frame, mov};
use crate::{
    assemble::Label,
    insn::{Alu, BpfInsn, Cond, Helper, R0, R1, R2, R6, R7, R8, R10, Reg, Size},
    ir::{Ancillary, Fragment, MAX_SHIFT, Op, Operand, SCRATCH_CELLS, Verdict},
    program::{MapRef, Part, TargetMap},
};
use capture_types::Direction;

/// `PACKET_OUTGOING` of `linux/if_packet.h`: the type of a packet that a packet socket sees on its
/// way out.
const PACKET_OUTGOING: u32 = 4;

/// One of the two ways to read a packet. It is also notified of everything that invalidates its facts.
pub(super) trait PacketReader {
    /// Called before the first stage.
    fn begin(&mut self, codegen: &mut Codegen<'_>);

    /// `dst` = packet\[offset\]
    fn load(&mut self, codegen: &mut Codegen<'_>, dst: Reg, size: Size, offset: u32);

    /// A = packet\[X + offset\]
    fn load_indirect(&mut self, codegen: &mut Codegen<'_>, size: Size, offset: u32);

    /// The packet begins A bytes further on; A is within bounds.
    fn advance(&mut self, codegen: &mut Codegen<'_>);

    /// Code after the last stage, reached by jumps only.
    fn end(&mut self, _: &mut Codegen<'_>) {}

    /// A helper has been called, which leaves r1 to r5 undefined.
    fn after_call(&mut self, _: &mut Codegen<'_>) {}

    /// A stage with this many operations begins.
    fn begin_stage(&mut self, _operations: usize) {}

    /// The operation at `index` begins; `falls_through` if the one before may continue with it.
    fn begin_operation(&mut self, _index: usize, _falls_through: bool) {}

    /// X has been written; it is at most `limit`.
    fn x_written(&mut self, _limit: u32) {}

    /// The operation at `target` can be reached from here.
    fn reaches(&mut self, _target: usize) {}

    /// The end of the stage can be reached from here.
    fn reaches_next_stage(&mut self) {}

    /// The stage is passed.
    fn end_stage(&mut self) {}
}

/// The state of a translation.
pub(super) struct Codegen<'a> {
    pub(super) generator: &'a mut Generator,
    pub(super) exits: Exits,
    /// Whether the beginning of the packet moves.
    pub(super) shifts: bool,
    /// Labels of the operations of the stage.
    labels: Vec<Label>,
    next_stage: Label,
}

/// Translates the stages with one way of reading packets.
pub(super) fn generate(
    generator: &mut Generator,
    exits: Exits,
    stages: &[Fragment],
    reader: &mut impl PacketReader,
) {
    let shifts = stages
        .iter()
        .any(|fragment| fragment.ops.contains(&Op::Advance));
    let mut codegen = Codegen {
        generator,
        exits,
        shifts,
        labels: Vec::new(),
        next_stage: exits.matched,
    };
    reader.begin(&mut codegen);
    if shifts {
        codegen
            .generator
            .asm
            .emit(BpfInsn::store_constant(Size::Word, R10, frame::SHIFT, 0));
    }
    for (number, fragment) in stages.iter().enumerate() {
        let last = number + 1 == stages.len();
        codegen.next_stage = if last {
            exits.matched
        } else {
            codegen.generator.asm.label()
        };
        codegen.stage(reader, number as u16, fragment);
        if !last {
            codegen.generator.asm.bind(codegen.next_stage);
        }
        reader.end_stage();
    }
    if stages.is_empty() {
        codegen.generator.asm.jump(exits.matched);
    }
    reader.end(&mut codegen);
}

impl Codegen<'_> {
    fn stage(&mut self, reader: &mut impl PacketReader, number: u16, fragment: &Fragment) {
        self.generator.asm.origin.part = Part::Start;
        self.begin_fragment(fragment);
        reader.begin_stage(fragment.ops.len());
        let asm = &mut self.generator.asm;
        self.labels = fragment.ops.iter().map(|_| asm.label()).collect();
        for (index, op) in fragment.ops.iter().enumerate() {
            let asm = &mut self.generator.asm;
            let falls_through = asm.reachable();
            asm.bind(self.labels[index]);
            if !asm.reachable() {
                continue;
            }
            asm.origin.part = Part::Stage(number, index as u32);
            reader.begin_operation(index, falls_through);
            self.operation(reader, index, *op);
        }
    }

    fn operation(&mut self, reader: &mut impl PacketReader, index: usize, op: Op) {
        let exits = self.exits;
        let asm = &mut self.generator.asm;
        match op {
            Op::Load { size, offset } => reader.load(self, R8, size, offset),
            Op::LoadIndirect { size, offset } => reader.load_indirect(self, size, offset),
            Op::HeaderLength { offset } => {
                reader.load(self, R7, Size::Byte, offset);
                let asm = &mut self.generator.asm;
                asm.emit(BpfInsn::alu32(Alu::And, R7, 15));
                asm.emit(BpfInsn::alu32(Alu::Lsh, R7, 2));
                reader.x_written(60);
            }
            Op::LoadAncillary(ancillary) => self.ancillary(reader, ancillary),
            Op::LoadLength => self.length(R8),
            Op::LoadXLength => {
                self.length(R7);
                reader.x_written(u32::MAX);
            }
            Op::Constant(k) => asm.emit(BpfInsn::alu32(Alu::Mov, R8, k)),
            Op::XConstant(k) => {
                asm.emit(BpfInsn::alu32(Alu::Mov, R7, k));
                reader.x_written(k);
            }
            Op::LoadScratch(cell) => {
                asm.emit(BpfInsn::load(Size::Word, R8, R10, frame::cell(cell)));
            }
            Op::LoadXScratch(cell) => {
                asm.emit(BpfInsn::load(Size::Word, R7, R10, frame::cell(cell)));
                reader.x_written(u32::MAX);
            }
            Op::StoreScratch(cell) => {
                asm.emit(BpfInsn::store(Size::Word, R10, frame::cell(cell), R8))
            }
            Op::StoreXScratch(cell) => {
                asm.emit(BpfInsn::store(Size::Word, R10, frame::cell(cell), R7))
            }
            Op::Arithmetic(operation, operand) => self.arithmetic(operation, operand),
            Op::Negate => asm.emit(BpfInsn::alu32(Alu::Neg, R8, 0)),
            Op::ToX => {
                asm.emit(BpfInsn::alu32_reg(Alu::Mov, R7, R8));
                reader.x_written(u32::MAX);
            }
            Op::ToA => asm.emit(BpfInsn::alu32_reg(Alu::Mov, R8, R7)),
            Op::Jump(target) => {
                reader.reaches(target);
                if target != index + 1 {
                    asm.jump(self.labels[target]);
                }
            }
            Op::Branch {
                cond,
                operand,
                then,
                otherwise,
            } => {
                reader.reaches(then);
                reader.reaches(otherwise);
                self.compare(cond, operand, then, otherwise, index + 1);
            }
            Op::Return(Verdict::NoMatch) => asm.jump(exits.no_match),
            Op::Return(Verdict::Match) => {
                reader.reaches_next_stage();
                asm.jump(self.next_stage);
            }
            Op::Return(Verdict::A) => {
                reader.reaches_next_stage();
                asm.branch(BpfInsn::branch32(Cond::Ne, R8, 0), self.next_stage);
                asm.jump(exits.no_match);
            }
            Op::Advance => {
                asm.branch(
                    BpfInsn::branch64(Cond::Gt, R8, MAX_SHIFT as i32),
                    exits.no_match,
                );
                reader.advance(self);
            }
            Op::Key(word) => {
                asm.emit(mov(R1, R8));
                asm.emit(BpfInsn::network_order(R1, 32));
                asm.emit(BpfInsn::store(
                    Size::Word,
                    R10,
                    frame::KEY + 4 * i16::from(word),
                    R1,
                ));
            }
            Op::Lookup {
                map,
                words,
                then,
                otherwise,
            } => {
                let key = if matches!(
                    map,
                    MapRef::Target(_, TargetMap::Networks4 | TargetMap::Networks6)
                ) {
                    asm.emit(BpfInsn::store_constant(
                        Size::Word,
                        R10,
                        frame::PREFIX_LENGTH,
                        32 * i32::from(words),
                    ));
                    frame::PREFIX_LENGTH
                } else {
                    frame::KEY
                };
                self.lookup(reader, map, key);
                reader.reaches(then);
                reader.reaches(otherwise);
                let asm = &mut self.generator.asm;
                asm.branch(BpfInsn::branch64(Cond::Ne, R0, 0), self.labels[then]);
                asm.jump(self.labels[otherwise]);
            }
            Op::Bit {
                map,
                then,
                otherwise,
            } => {
                asm.emit(mov(R1, R8));
                asm.emit(BpfInsn::alu64(Alu::Rsh, R1, 6));
                asm.emit(BpfInsn::store(Size::Word, R10, frame::KEY, R1));
                self.lookup(reader, map, frame::KEY);
                reader.reaches(then);
                reader.reaches(otherwise);
                let asm = &mut self.generator.asm;
                asm.branch(BpfInsn::branch64(Cond::Eq, R0, 0), self.labels[otherwise]);
                asm.emit(BpfInsn::load(Size::Double, R1, R0, 0));
                asm.emit(mov(R2, R8));
                asm.emit(BpfInsn::alu64(Alu::And, R2, 63));
                asm.emit(BpfInsn::alu64_reg(Alu::Rsh, R1, R2));
                asm.emit(BpfInsn::alu64(Alu::And, R1, 1));
                asm.branch(BpfInsn::branch64(Cond::Ne, R1, 0), self.labels[then]);
                asm.jump(self.labels[otherwise]);
            }
            Op::LoadValue(map) => {
                asm.emit(BpfInsn::store_constant(Size::Word, R10, frame::KEY, 0));
                self.lookup(reader, map, frame::KEY);
                let asm = &mut self.generator.asm;
                asm.branch(BpfInsn::branch64(Cond::Eq, R0, 0), exits.no_match);
                asm.emit(BpfInsn::load(Size::Word, R8, R0, 0));
            }
        }
    }

    /// A tunnel's header may claim to be longer than the packet.
    pub(super) fn within_packet(&mut self, shift: Reg) {
        let asm = &mut self.generator.asm;
        asm.emit(BpfInsn::load(Size::Word, R2, R6, context::LEN));
        asm.branch(
            BpfInsn::branch64_reg(Cond::Gt, shift, R2),
            self.exits.no_match,
        );
    }

    /// Each fragment begins like a classic program, with A and X 0; also scratch cells that are
    /// read.
    fn begin_fragment(&mut self, fragment: &Fragment) {
        self.generator.asm.emit(BpfInsn::alu32(Alu::Mov, R8, 0));
        self.generator.asm.emit(BpfInsn::alu32(Alu::Mov, R7, 0));
        let cells = fragment.scratch_read();
        for cell in (0..SCRATCH_CELLS).filter(|cell| cells & 1 << cell != 0) {
            self.generator.asm.emit(BpfInsn::store_constant(
                Size::Word,
                R10,
                frame::cell(cell),
                0,
            ));
        }
    }

    fn lookup(&mut self, reader: &mut impl PacketReader, map: MapRef, key: i16) {
        self.generator.asm.load_map(R1, map);
        self.generator.asm.emit(mov(R2, R10));
        self.generator
            .asm
            .emit(BpfInsn::alu64(Alu::Add, R2, i32::from(key)));
        self.generator
            .asm
            .emit(BpfInsn::call(Helper::MapLookupElem));
        reader.after_call(self);
    }

    fn length(&mut self, dst: Reg) {
        let asm = &mut self.generator.asm;
        asm.emit(BpfInsn::load(Size::Word, dst, R6, context::LEN));
        if self.shifts {
            asm.emit(BpfInsn::load(Size::Word, R1, R10, frame::SHIFT));
            asm.emit(BpfInsn::alu32_reg(Alu::Sub, dst, R1));
        }
    }

    fn arithmetic(&mut self, operation: Alu, operand: Operand) {
        let asm = &mut self.generator.asm;
        let divides = matches!(operation, Alu::Div | Alu::Mod);
        let shifts = matches!(operation, Alu::Lsh | Alu::Rsh);
        match operand {
            Operand::K(0) if divides => asm.jump(self.exits.no_match),
            // A shift past the last bit leaves nothing; eBPF would take the amount modulo 32.
            Operand::K(32..) if shifts => asm.emit(BpfInsn::alu32(Alu::Mov, R8, 0)),
            Operand::K(k) => asm.emit(BpfInsn::alu32(operation, R8, k)),
            Operand::X => {
                if divides {
                    asm.branch(BpfInsn::branch32(Cond::Eq, R7, 0), self.exits.no_match);
                }
                if shifts {
                    let (within, done) = (asm.label(), asm.label());
                    asm.branch(BpfInsn::branch32(Cond::Lt, R7, 32), within);
                    asm.emit(BpfInsn::alu32(Alu::Mov, R8, 0));
                    asm.jump(done);
                    asm.bind(within);
                    asm.emit(BpfInsn::alu32_reg(operation, R8, R7));
                    asm.bind(done);
                } else {
                    asm.emit(BpfInsn::alu32_reg(operation, R8, R7));
                }
            }
        }
    }

    fn ancillary(&mut self, reader: &mut impl PacketReader, ancillary: Ancillary) {
        let direction = self.generator.epilogue.direction;
        let asm = &mut self.generator.asm;
        let offset = match ancillary {
            Ancillary::PacketType if direction == Direction::Out => {
                asm.emit(BpfInsn::alu32(Alu::Mov, R8, PACKET_OUTGOING));
                return;
            }
            Ancillary::Cpu | Ancillary::Random | Ancillary::Hash => {
                let helper = match ancillary {
                    Ancillary::Cpu => Helper::GetSmpProcessorId,
                    Ancillary::Random => Helper::GetPrandomU32,
                    _ => Helper::GetHashRecalc,
                };
                asm.emit(mov(R1, R6));
                asm.emit(BpfInsn::call(helper));
                asm.emit(BpfInsn::alu32_reg(Alu::Mov, R8, R0));
                reader.after_call(self);
                return;
            }
            Ancillary::PacketType => context::PACKET_TYPE,
            Ancillary::Protocol => context::PROTOCOL,
            Ancillary::Ifindex => context::IFINDEX,
            Ancillary::Mark => context::MARK,
            Ancillary::Queue => context::QUEUE,
            Ancillary::VlanTag => context::VLAN_TCI,
            Ancillary::VlanPresent => context::VLAN_PRESENT,
            Ancillary::VlanProtocol => context::VLAN_PROTOCOL,
        };
        asm.emit(BpfInsn::load(Size::Word, R8, R6, offset));
        if matches!(ancillary, Ancillary::Protocol | Ancillary::VlanProtocol) {
            asm.emit(BpfInsn::network_order(R8, 16));
        }
    }

    /// Compares A and branches; `next` is the operation that follows.
    fn compare(
        &mut self,
        cond: Cond,
        operand: Operand,
        then: usize,
        otherwise: usize,
        next: usize,
    ) {
        let asm = &mut self.generator.asm;
        let (then_label, otherwise_label) = (self.labels[then], self.labels[otherwise]);
        let test = |cond| match operand {
            Operand::K(k) => BpfInsn::branch32(cond, R8, k),
            Operand::X => BpfInsn::branch32_reg(cond, R8, R7),
        };
        if then == otherwise {
            if then != next {
                asm.jump(then_label);
            }
        } else if let (true, Some(inverse)) = (then == next, cond.inverse()) {
            asm.branch(test(inverse), otherwise_label);
        } else {
            asm.branch(test(cond), then_label);
            if otherwise != next {
                asm.jump(otherwise_label);
            }
        }
    }
}
