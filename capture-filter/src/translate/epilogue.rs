//! The end of a program: count the packet, or call the capture program.

use capture_common::{Counters, SLOTS_LENGTH, Slot, UNKNOWN_INTERFACE};

use super::{Exits, Generator, NEXT, context, frame, mov};
use crate::{
    assemble::{Assembler, Label},
    insn::{Alu, BpfInsn, Cond, Helper, R0, R1, R2, R3, R6, R8, R10, Size},
    program::{MapRef, Origin, Part, TagPlace},
};

/// Byte offsets in `capture_common::Counters`.
const FILTERED: i16 = core::mem::offset_of!(Counters, filtered) as i16;
const UNREADABLE: i16 = core::mem::offset_of!(Counters, unreadable) as i16;

/// Byte offsets in `capture_common::Slot`.
const SLOT_IFINDEX: i16 = core::mem::offset_of!(Slot, ifindex) as i16;
const SLOT_COUNTERS: i16 = core::mem::offset_of!(Slot, counters) as i16;

/// Labels for counting packets of interfaces without a slot.
pub(super) struct NoSlot {
    filtered: Label,
    unreadable: Label,
}

impl NoSlot {
    pub(super) const fn new(asm: &mut Assembler) -> Self {
        Self {
            filtered: asm.label(),
            unreadable: asm.label(),
        }
    }
}

impl Generator {
    /// The code after the stages of one path; reached only through the exits.
    pub(super) fn epilogue(&mut self, exits: Exits) {
        self.asm.bind(exits.no_match);
        self.asm.origin.part = Part::NoMatch;
        self.count(FILTERED, self.no_slot.filtered);

        self.asm.bind(exits.matched);
        self.asm.origin.part = Part::Match;
        self.asm.emit(mov(R1, R6));
        self.asm.load_map(R2, MapRef::Programs);
        self.asm
            .emit(BpfInsn::alu32(Alu::Mov, R3, self.epilogue.index));
        self.asm.emit(BpfInsn::call(Helper::TailCall));
        // The tail call returns only if the array has no program at that index.
        self.count(UNREADABLE, self.no_slot.unreadable);
    }

    /// Counts the packet in the slot of its interface and lets it pass.
    fn count(&mut self, counter: i16, no_slot: Label) {
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

    /// Counts packets whose slot belongs to another interface. An interface without counters uses those
    /// of the unknown interface. r8 is the interface.
    pub(super) fn count_without_slot(&mut self) {
        let NoSlot {
            filtered,
            unreadable,
        } = self.no_slot;
        for (counter, no_slot) in [(FILTERED, filtered), (UNREADABLE, unreadable)] {
            let asm = &mut self.asm;
            asm.bind(no_slot);
            asm.origin = Origin {
                tag: TagPlace::None,
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

    /// Adds 1 to the counter at r0 + `offset`, and lets the packet pass.
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

    /// r0 = the counters for the key on the stack.
    fn counters(&mut self, map: MapRef) {
        let asm = &mut self.asm;
        asm.load_map(R1, map);
        asm.emit(mov(R2, R10));
        asm.emit(BpfInsn::alu64(Alu::Add, R2, i32::from(frame::COUNTER_KEY)));
        asm.emit(BpfInsn::call(Helper::MapLookupElem));
    }
}
