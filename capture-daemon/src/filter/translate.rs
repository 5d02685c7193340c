//! From stages of a filter to one eBPF program. Pure: no kernel, no libpcap.
//!
//! Each filter is translated twice into the same program. The fast way reads the linear part of the
//! packet through pointers, each load behind a guard that the next ones need not repeat. When a guard
//! fails on a packet that has bytes outside its linear part, the program starts over on the slow way,
//! where every load is a call of `bpf_skb_load_bytes`. A filter changes nothing, so that starting
//! over is safe.
//!
//! Registers: r6 context, r7 X, r8 A. Fast: r9 where the packet begins, r3 where its linear part
//! ends, r4 the packet plus X. Slow: r9 how far the beginning of the packet has been moved.

use capture_common::{SLOTS_LENGTH, Slot, UNKNOWN_INTERFACE};

use super::{
    assemble::{Assembler, Label},
    insn::{Alu, BpfInsn, Cond, Helper, R0, R1, R2, R3, R6, R7, R8, R10, Reg, Size},
    ir::{Ancillary, Fragment, Op, Operand, Verdict},
    program::{Epilogue, MapRef, Origin, Part, Program},
};
use crate::pipeline::packet::Way;

mod fast;
mod slow;

/// Offsets in `struct __sk_buff` of `linux/bpf.h`.
pub(super) mod context {
    pub(in crate::filter) const LEN: i16 = 0;
    pub(in crate::filter) const PACKET_TYPE: i16 = 4;
    pub(in crate::filter) const MARK: i16 = 8;
    pub(in crate::filter) const QUEUE: i16 = 12;
    pub(in crate::filter) const PROTOCOL: i16 = 16;
    pub(in crate::filter) const VLAN_PRESENT: i16 = 20;
    pub(in crate::filter) const VLAN_TCI: i16 = 24;
    pub(in crate::filter) const VLAN_PROTOCOL: i16 = 28;
    pub(in crate::filter) const IFINDEX: i16 = 40;
    pub(in crate::filter) const DATA: i16 = 76;
    pub(in crate::filter) const DATA_END: i16 = 80;
}

/// Offsets from the frame pointer.
mod frame {
    /// The key of a counter lookup.
    pub(super) const COUNTER_KEY: i16 = -4;
    /// Where the slow way's loads put what they read.
    pub(super) const LOADED: i16 = -8;
    /// How far the beginning of the packet has been moved.
    pub(super) const SHIFT: i16 = -16;
    /// M\[0\] to M\[15\].
    pub(super) const SCRATCH: i16 = SHIFT - 64;
    /// Four words of an address, a prefix length of 4 bytes before them.
    pub(super) const KEY: i16 = SCRATCH - 16;
    pub(super) const PREFIX_LENGTH: i16 = KEY - 4;

    pub(super) const fn cell(cell: u8) -> i16 {
        SCRATCH + 4 * cell as i16
    }
}

/// `PACKET_OUTGOING` of `linux/if_packet.h`: what a packet socket sees on its own way out.
const PACKET_OUTGOING: u32 = 4;

/// Byte offsets in `capture_common::Counters`.
const FILTERED: i16 = core::mem::offset_of!(capture_common::Counters, filtered) as i16;
const UNREADABLE: i16 = core::mem::offset_of!(capture_common::Counters, unreadable) as i16;

/// Byte offsets in `capture_common::Slot`.
const SLOT_IFINDEX: i16 = core::mem::offset_of!(Slot, ifindex) as i16;
const SLOT_COUNTERS: i16 = core::mem::offset_of!(Slot, counters) as i16;

/// `TCX_NEXT`, which is also `TC_ACT_UNSPEC`: the packet goes on as if nothing had looked at it.
pub const NEXT: u32 = -1_i32 as u32;

/// The stages that a packet has to pass, one after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Stages {
    /// For packets that are as their bytes say.
    pub(super) plain: Vec<Fragment>,
    /// For packets whose outer VLAN tag is in the metadata, where that makes a difference.
    pub(super) tagged: Option<Vec<Fragment>>,
}

/// Translates the stages of a filter.
pub(super) fn translate(stages: &Stages, epilogue: Epilogue) -> Program {
    translate_with(Assembler::new(), stages, epilogue)
}

pub(super) fn translate_with(mut asm: Assembler, stages: &Stages, epilogue: Epilogue) -> Program {
    let mut generator = Generator {
        no_slot: [FILTERED, UNREADABLE].map(|counter| (counter, asm.label())),
        asm,
        epilogue,
    };
    generator.asm.emit(mov(R6, R1));
    let tagged = generator.asm.label();
    if stages.tagged.is_some() {
        let asm = &mut generator.asm;
        asm.emit(BpfInsn::load(Size::Word, R1, R6, context::VLAN_PRESENT));
        asm.branch(BpfInsn::branch32(Cond::Ne, R1, 0), tagged);
    }
    generator.variant(&stages.plain, false);
    if let Some(stages) = &stages.tagged {
        generator.asm.bind(tagged);
        generator.variant(stages, true);
    }
    generator.count_without_slot();
    generator.asm.finish()
}

struct Generator {
    asm: Assembler,
    epilogue: Epilogue,
    /// For each counter, where a packet of an interface without a slot is counted.
    no_slot: [(i16, Label); 2],
}

/// Where a way through the filter can leave.
#[derive(Clone, Copy)]
struct Exits {
    matched: Label,
    no_match: Label,
}

impl Generator {
    fn variant(&mut self, stages: &[Fragment], tagged: bool) {
        let slow = self.asm.label();
        self.asm.origin = Origin {
            tagged,
            slow: false,
            part: Part::Start,
        };
        let exits = self.exits();
        fast::Fast::new(self, exits, slow, stages).run(stages);
        self.epilogue(exits);

        self.asm.bind(slow);
        if !self.asm.reachable() {
            return;
        }
        self.asm.origin.slow = true;
        self.asm.origin.part = Part::Start;
        let exits = self.exits();
        slow::Slow::new(self, exits, stages).run(stages);
        self.epilogue(exits);
    }

    const fn exits(&mut self) -> Exits {
        Exits {
            matched: self.asm.label(),
            no_match: self.asm.label(),
        }
    }

    /// What follows the stages of one way; reached only through the exits.
    fn epilogue(&mut self, exits: Exits) {
        self.asm.bind(exits.no_match);
        self.asm.origin.part = Part::NoMatch;
        self.count(0);

        self.asm.bind(exits.matched);
        self.asm.origin.part = Part::Match;
        self.asm.emit(mov(R1, R6));
        self.asm.load_map(R2, MapRef::Programs);
        self.asm
            .emit(BpfInsn::alu32(Alu::Mov, R3, self.epilogue.index));
        self.asm.emit(BpfInsn::call(Helper::TailCall));
        // The tail call comes back only when the array has no program at that place.
        self.count(1);
    }

    /// Counts the packet in the slot of its interface and lets it pass.
    fn count(&mut self, counter: usize) {
        let (counter, no_slot) = self.no_slot[counter];
        let asm = &mut self.asm;
        asm.emit(BpfInsn::load(Size::Word, R8, R6, context::IFINDEX));
        asm.emit(BpfInsn::alu32_reg(Alu::Mov, R1, R8));
        asm.emit(BpfInsn::alu32(Alu::And, R1, SLOTS_LENGTH - 1));
        asm.emit(BpfInsn::store(Size::Word, R10, frame::COUNTER_KEY, R1));
        self.counters(MapRef::Slots);
        let asm = &mut self.asm;
        asm.branch(BpfInsn::branch64(Cond::Eq, R0, 0), no_slot);
        asm.emit(BpfInsn::load(Size::Word, R1, R0, SLOT_IFINDEX));
        asm.branch(BpfInsn::branch32_reg(Cond::Ne, R1, R8), no_slot);
        self.increment(SLOT_COUNTERS + counter);
    }

    /// Where another interface has the slot. An interface without counters of its own has those of the
    /// unknown one. r8 is the interface.
    fn count_without_slot(&mut self) {
        for (counter, no_slot) in self.no_slot {
            let asm = &mut self.asm;
            asm.bind(no_slot);
            asm.origin = Origin {
                tagged: false,
                slow: false,
                part: Part::NoSlot,
            };
            let (found, pass) = (asm.label(), asm.label());
            asm.emit(BpfInsn::store(Size::Word, R10, frame::COUNTER_KEY, R8));
            self.counters(MapRef::Counters);
            let asm = &mut self.asm;
            asm.branch(BpfInsn::branch64(Cond::Ne, R0, 0), found);
            asm.emit(BpfInsn::store_constant(
                Size::Word,
                R10,
                frame::COUNTER_KEY,
                UNKNOWN_INTERFACE as i32,
            ));
            self.counters(MapRef::Counters);
            let asm = &mut self.asm;
            asm.branch(BpfInsn::branch64(Cond::Eq, R0, 0), pass);
            asm.bind(found);
            self.increment(counter);
            self.asm.bind(pass);
            self.pass();
        }
    }

    /// Adds 1 to what stands at r0 + `offset`, and lets the packet pass.
    fn increment(&mut self, offset: i16) {
        let asm = &mut self.asm;
        // Per CPU, and nothing else counts on this CPU while the program runs: no atomic needed.
        asm.emit(BpfInsn::load(Size::Double, R1, R0, offset));
        asm.emit(BpfInsn::alu64(Alu::Add, R1, 1));
        asm.emit(BpfInsn::store(Size::Double, R0, offset, R1));
        self.pass();
    }

    fn pass(&mut self) {
        self.asm.emit(BpfInsn::alu32(Alu::Mov, R0, NEXT));
        self.asm.emit(BpfInsn::exit());
    }

    /// A tunnel's header may say that it is longer than the packet.
    fn within_packet(&mut self, shift: Reg, exits: Exits) {
        let asm = &mut self.asm;
        asm.emit(BpfInsn::load(Size::Word, R2, R6, context::LEN));
        asm.branch(BpfInsn::branch64_reg(Cond::Gt, shift, R2), exits.no_match);
    }

    /// r0 = the counters under the key on the stack.
    fn counters(&mut self, map: MapRef) {
        let asm = &mut self.asm;
        asm.load_map(R1, map);
        asm.emit(mov(R2, R10));
        asm.emit(BpfInsn::alu64(Alu::Add, R2, i32::from(frame::COUNTER_KEY)));
        asm.emit(BpfInsn::call(Helper::MapLookupElem));
    }

    /// Each fragment begins as classic BPF does, with A and X 0; scratch cells too, where read.
    fn begin_fragment(&mut self, fragment: &Fragment) {
        self.asm.emit(BpfInsn::alu32(Alu::Mov, R8, 0));
        self.asm.emit(BpfInsn::alu32(Alu::Mov, R7, 0));
        let cells = fragment.recalled();
        for cell in (0..16).filter(|cell| cells & 1 << cell != 0) {
            self.asm.emit(BpfInsn::store_constant(
                Size::Word,
                R10,
                frame::cell(cell),
                0,
            ));
        }
    }

    /// The operations that are the same on both ways; false for one that is not.
    fn common(&mut self, op: Op, labels: &[Label], exits: Exits, shifts: bool) -> bool {
        let asm = &mut self.asm;
        match op {
            Op::LoadAncillary(ancillary) => self.ancillary(ancillary),
            Op::LoadLength => self.length(R8, shifts),
            Op::LoadXLength => self.length(R7, shifts),
            Op::Constant(k) => asm.emit(BpfInsn::alu32(Alu::Mov, R8, k)),
            Op::XConstant(k) => asm.emit(BpfInsn::alu32(Alu::Mov, R7, k)),
            Op::Recall(cell) => {
                asm.emit(BpfInsn::load(Size::Word, R8, R10, frame::cell(cell)));
            }
            Op::XRecall(cell) => {
                asm.emit(BpfInsn::load(Size::Word, R7, R10, frame::cell(cell)));
            }
            Op::Keep(cell) => asm.emit(BpfInsn::store(Size::Word, R10, frame::cell(cell), R8)),
            Op::XKeep(cell) => asm.emit(BpfInsn::store(Size::Word, R10, frame::cell(cell), R7)),
            Op::Arithmetic(operation, operand) => self.arithmetic(operation, operand, exits),
            Op::Negate => asm.emit(BpfInsn::alu32(Alu::Neg, R8, 0)),
            Op::ToX => asm.emit(BpfInsn::alu32_reg(Alu::Mov, R7, R8)),
            Op::ToA => asm.emit(BpfInsn::alu32_reg(Alu::Mov, R8, R7)),
            Op::Return(Verdict::NoMatch) => asm.jump(exits.no_match),
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
                let key = if matches!(map, MapRef::Networks4 | MapRef::Networks6) {
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
                self.lookup(map, key);
                let asm = &mut self.asm;
                asm.branch(BpfInsn::branch64(Cond::Ne, R0, 0), labels[then]);
                asm.jump(labels[otherwise]);
            }
            Op::Bit {
                map,
                then,
                otherwise,
            } => {
                asm.emit(mov(R1, R8));
                asm.emit(BpfInsn::alu64(Alu::Rsh, R1, 6));
                asm.emit(BpfInsn::store(Size::Word, R10, frame::KEY, R1));
                self.lookup(map, frame::KEY);
                let asm = &mut self.asm;
                asm.branch(BpfInsn::branch64(Cond::Eq, R0, 0), labels[otherwise]);
                asm.emit(BpfInsn::load(Size::Double, R1, R0, 0));
                asm.emit(mov(R2, R8));
                asm.emit(BpfInsn::alu64(Alu::And, R2, 63));
                asm.emit(BpfInsn::alu64_reg(Alu::Rsh, R1, R2));
                asm.emit(BpfInsn::alu64(Alu::And, R1, 1));
                asm.branch(BpfInsn::branch64(Cond::Ne, R1, 0), labels[then]);
                asm.jump(labels[otherwise]);
            }
            Op::LoadCell(map) => {
                asm.emit(BpfInsn::store_constant(Size::Word, R10, frame::KEY, 0));
                self.lookup(map, frame::KEY);
                let asm = &mut self.asm;
                asm.branch(BpfInsn::branch64(Cond::Eq, R0, 0), exits.no_match);
                asm.emit(BpfInsn::load(Size::Word, R8, R0, 0));
            }
            Op::Load { .. }
            | Op::LoadIndirect { .. }
            | Op::HeaderLength { .. }
            | Op::Jump(_)
            | Op::Branch { .. }
            | Op::Return(_)
            | Op::Advance => return false,
        }
        true
    }

    fn lookup(&mut self, map: MapRef, key: i16) {
        self.asm.load_map(R1, map);
        self.asm.emit(mov(R2, R10));
        self.asm.emit(BpfInsn::alu64(Alu::Add, R2, i32::from(key)));
        self.asm.emit(BpfInsn::call(Helper::MapLookupElem));
        self.after_call();
    }

    /// A helper leaves r1 to r5 undefined; the fast way keeps the end of the linear part in r3.
    fn after_call(&mut self) {
        if !self.asm.origin.slow {
            let end = BpfInsn::load(Size::Word, R3, R6, context::DATA_END);
            self.asm.emit(end);
        }
    }

    fn length(&mut self, dst: Reg, shifts: bool) {
        let asm = &mut self.asm;
        asm.emit(BpfInsn::load(Size::Word, dst, R6, context::LEN));
        if shifts {
            asm.emit(BpfInsn::load(Size::Word, R1, R10, frame::SHIFT));
            asm.emit(BpfInsn::alu32_reg(Alu::Sub, dst, R1));
        }
    }

    fn arithmetic(&mut self, operation: Alu, operand: Operand, exits: Exits) {
        let asm = &mut self.asm;
        let divides = matches!(operation, Alu::Div | Alu::Mod);
        let shifts = matches!(operation, Alu::Lsh | Alu::Rsh);
        match operand {
            Operand::K(0) if divides => asm.jump(exits.no_match),
            // A shift past the last bit leaves nothing; eBPF would take the amount modulo 32.
            Operand::K(32..) if shifts => asm.emit(BpfInsn::alu32(Alu::Mov, R8, 0)),
            Operand::K(k) => asm.emit(BpfInsn::alu32(operation, R8, k)),
            Operand::X => {
                if divides {
                    asm.branch(BpfInsn::branch32(Cond::Eq, R7, 0), exits.no_match);
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

    fn ancillary(&mut self, ancillary: Ancillary) {
        let way = self.epilogue.way;
        let asm = &mut self.asm;
        let offset = match ancillary {
            Ancillary::PacketType if way == Way::Out => {
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
                self.after_call();
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

    /// Compares A and goes on; `next` is where the program continues by itself.
    fn compare(
        &mut self,
        cond: Cond,
        operand: Operand,
        (then, then_label): (usize, Label),
        (otherwise, otherwise_label): (usize, Label),
        next: usize,
    ) {
        let asm = &mut self.asm;
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

const fn mov(dst: Reg, src: Reg) -> BpfInsn {
    BpfInsn::alu64_reg(Alu::Mov, dst, src)
}

/// Bytes of the packet in network order: what a load of more than one byte needs afterwards.
const fn swap(dst: Reg, size: Size) -> Option<BpfInsn> {
    match size {
        Size::Byte => None,
        Size::Half => Some(BpfInsn::network_order(dst, 16)),
        Size::Word | Size::Double => Some(BpfInsn::network_order(dst, 32)),
    }
}

/// Whether any stage moves the beginning of the packet.
fn advances(stages: &[Fragment]) -> bool {
    stages
        .iter()
        .any(|fragment| fragment.ops.contains(&Op::Advance))
}

#[cfg(test)]
mod tests;
