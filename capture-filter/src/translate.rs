//! From the stages of a filter to one eBPF program. Pure: no kernel, no libpcap.
//!
//! Each filter is translated twice into the same program. The fast path reads the linear part of the
//! packet by direct packet access, each load after a bounds check that later loads need not repeat. When
//! a check fails on a packet that has bytes outside its linear part, the program starts over on the slow
//! path, where every load is a call of `bpf_skb_load_bytes`. A filter has no side effects, so starting
//! over is safe.
//!
//! Registers: r6 context, r7 X, r8 A. Fast path: r9 start of the packet, r3 end of its linear part, r4
//! start of the packet plus X. Slow path: r9 offset by which the start of the packet has moved.

use super::{
    assemble::{Assembler, Label},
    insn::{Alu, BpfInsn, Cond, Helper, R0, R1, R2, R3, R4, R6, R10, Reg, Size},
    ir::{Fragment, SCRATCH_CELLS, VLAN_TYPES},
    program::{Epilogue, Origin, Part, Program, TagPlace},
};

mod codegen;
mod epilogue;
mod fast_path;
mod slow_path;

/// Offsets in `struct __sk_buff` of `linux/bpf.h`.
pub(super) mod context {
    pub(crate) const LEN: i16 = 0;
    pub(crate) const PACKET_TYPE: i16 = 4;
    pub(crate) const MARK: i16 = 8;
    pub(crate) const QUEUE: i16 = 12;
    pub(crate) const PROTOCOL: i16 = 16;
    pub(crate) const VLAN_PRESENT: i16 = 20;
    pub(crate) const VLAN_TCI: i16 = 24;
    pub(crate) const VLAN_PROTOCOL: i16 = 28;
    pub(crate) const IFINDEX: i16 = 40;
    pub(crate) const DATA: i16 = 76;
    pub(crate) const DATA_END: i16 = 80;
}

/// Offsets from the frame pointer.
mod frame {
    use super::SCRATCH_CELLS;

    /// The key of a counter lookup.
    pub(super) const COUNTER_KEY: i16 = -4;
    /// The destination of the slow path's loads.
    pub(super) const LOADED: i16 = -8;
    /// The offset by which the start of the packet has moved.
    pub(super) const SHIFT: i16 = -16;
    /// The scratch cells, padded so that the next field stays aligned.
    pub(super) const SCRATCH: i16 = SHIFT - 4 * SCRATCH_CELLS as i16 - 12;
    /// Four words of an address, a prefix length of 4 bytes before them.
    pub(super) const KEY: i16 = SCRATCH - 16;
    pub(super) const PREFIX_LENGTH: i16 = KEY - 4;

    pub(super) const fn cell(cell: u8) -> i16 {
        SCRATCH + 4 * cell as i16
    }
}

/// `TCX_NEXT`, which is also `TC_ACT_UNSPEC`: the packet continues to the next program.
pub const NEXT: u32 = -1_i32 as u32;

/// The stages that a packet has to pass, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Stages {
    /// For packets without a VLAN tag.
    pub(super) plain: Vec<Fragment>,
    /// For packets whose outer VLAN tag is in the metadata, if the stages differ.
    pub(super) tagged: Option<Vec<Fragment>>,
    /// For packets whose outer VLAN tag is in the bytes only, if the stages differ.
    pub(super) in_bytes: Option<Vec<Fragment>>,
}

/// Translates the stages of a filter.
pub(super) fn translate(stages: &Stages, epilogue: Epilogue) -> Program {
    translate_with(Assembler::new(), stages, epilogue)
}

pub(super) fn translate_with(mut asm: Assembler, stages: &Stages, epilogue: Epilogue) -> Program {
    let mut generator = Generator {
        no_slot: epilogue::NoSlot::new(&mut asm),
        asm,
        epilogue,
    };
    let asm = &mut generator.asm;
    asm.emit(mov(R6, R1));
    let (plain, tagged, in_bytes) = (asm.label(), asm.label(), asm.label());
    if stages.tagged.is_some() || stages.in_bytes.is_some() {
        asm.emit(BpfInsn::load(Size::Word, R1, R6, context::VLAN_PRESENT));
        let metadata = if stages.tagged.is_some() {
            tagged
        } else {
            plain
        };
        asm.branch(BpfInsn::branch32(Cond::Ne, R1, 0), metadata);
    }
    if stages.in_bytes.is_some() {
        generator.find_tag(in_bytes, plain);
    }
    generator.asm.bind(plain);
    generator.variant(&stages.plain, TagPlace::None);
    for (stages, label, place) in [
        (&stages.tagged, tagged, TagPlace::Metadata),
        (&stages.in_bytes, in_bytes, TagPlace::Bytes),
    ] {
        if let Some(stages) = stages {
            generator.asm.bind(label);
            generator.variant(stages, place);
        }
    }
    generator.count_without_slot();
    generator.asm.finish()
}

struct Generator {
    asm: Assembler,
    epilogue: Epilogue,
    no_slot: epilogue::NoSlot,
}

/// The ends of a path through the stages.
#[derive(Clone, Copy)]
struct Exits {
    matched: Label,
    no_match: Label,
}

impl Generator {
    /// Jumps to `in_bytes` if the Ethernet type is that of a VLAN tag, else continues. A packet too short
    /// to have one is `plain`.
    fn find_tag(&mut self, in_bytes: Label, plain: Label) {
        const TYPE: i32 = 12;
        const END: i32 = TYPE + 2;
        let asm = &mut self.asm;
        let (linear, found) = (asm.label(), asm.label());
        asm.emit(BpfInsn::load(Size::Word, R2, R6, context::DATA));
        asm.emit(BpfInsn::load(Size::Word, R3, R6, context::DATA_END));
        asm.emit(mov(R1, R2));
        asm.emit(BpfInsn::alu64(Alu::Add, R1, END));
        asm.branch(BpfInsn::branch64_reg(Cond::Le, R1, R3), linear);
        asm.emit(mov(R1, R6));
        asm.emit(BpfInsn::alu32(Alu::Mov, R2, TYPE as u32));
        asm.emit(mov(R3, R10));
        asm.emit(BpfInsn::alu64(Alu::Add, R3, i32::from(frame::LOADED)));
        asm.emit(BpfInsn::alu32(Alu::Mov, R4, 2));
        asm.emit(BpfInsn::call(Helper::SkbLoadBytes));
        asm.branch(BpfInsn::branch64(Cond::Ne, R0, 0), plain);
        asm.emit(BpfInsn::load(Size::Half, R1, R10, frame::LOADED));
        asm.jump(found);
        asm.bind(linear);
        asm.emit(BpfInsn::load(Size::Half, R1, R2, TYPE as i16));
        asm.bind(found);
        asm.emit(BpfInsn::network_order(R1, 16));
        for kind in VLAN_TYPES {
            asm.branch(BpfInsn::branch32(Cond::Eq, R1, kind), in_bytes);
        }
    }

    fn variant(&mut self, stages: &[Fragment], tag: TagPlace) {
        let slow = self.asm.label();
        self.asm.origin = Origin {
            tag,
            slow: false,
            part: Part::Start,
        };
        let mut fast = fast_path::FastPath::new(&mut self.asm, slow);
        self.path(stages, &mut fast);
        self.asm.bind(slow);
        if self.asm.reachable() {
            self.asm.origin.slow = true;
            self.path(stages, &mut slow_path::SlowPath);
        }
    }

    fn path(&mut self, stages: &[Fragment], reader: &mut impl codegen::PacketReader) {
        self.asm.origin.part = Part::Start;
        let exits = Exits {
            matched: self.asm.label(),
            no_match: self.asm.label(),
        };
        codegen::generate(self, exits, stages, reader);
        self.epilogue(exits);
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

#[cfg(test)]
mod tests;
