//! The slow path: each load is a call of `bpf_skb_load_bytes`, which reads any part of a packet.

use super::{
    codegen::{Codegen, PacketReader},
    frame, mov, swap,
};
use crate::insn::{Alu, BpfInsn, Cond, Helper, R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Reg, Size};

pub(super) struct SlowPath;

impl PacketReader for SlowPath {
    fn begin(&mut self, codegen: &mut Codegen<'_>) {
        if codegen.shifts {
            codegen.generator.asm.emit(BpfInsn::alu32(Alu::Mov, R9, 0));
        }
    }

    fn load(&mut self, codegen: &mut Codegen<'_>, dst: Reg, size: Size, offset: u32) {
        load(codegen, dst, size, offset, false);
    }

    fn load_indirect(&mut self, codegen: &mut Codegen<'_>, size: Size, offset: u32) {
        load(codegen, R8, size, offset, true);
    }

    fn advance(&mut self, codegen: &mut Codegen<'_>) {
        let asm = &mut codegen.generator.asm;
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R9, R8));
        asm.emit(BpfInsn::store(Size::Word, R10, frame::SHIFT, R9));
        codegen.within_packet(R9);
    }
}

fn load(codegen: &mut Codegen<'_>, dst: Reg, size: Size, offset: u32, indirect: bool) {
    let no_match = codegen.exits.no_match;
    let asm = &mut codegen.generator.asm;
    // The helper takes offsets up to `i32::MAX`; no packet is that long.
    let Ok(offset) = i32::try_from(offset) else {
        asm.jump(no_match);
        return;
    };
    asm.emit(BpfInsn::alu32(Alu::Mov, R2, offset as u32));
    if indirect {
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R2, R7));
    }
    if codegen.shifts {
        asm.emit(BpfInsn::alu64_reg(Alu::Add, R2, R9));
    }
    if indirect || codegen.shifts {
        asm.branch(BpfInsn::branch64(Cond::Gt, R2, i32::MAX), no_match);
    }
    asm.emit(mov(R1, R6));
    asm.emit(mov(R3, R10));
    asm.emit(BpfInsn::alu64(Alu::Add, R3, i32::from(frame::LOADED)));
    asm.emit(BpfInsn::alu32(Alu::Mov, R4, size.bytes()));
    asm.emit(BpfInsn::call(Helper::SkbLoadBytes));
    asm.branch(BpfInsn::branch64(Cond::Ne, R0, 0), no_match);
    asm.emit(BpfInsn::load(size, dst, R10, frame::LOADED));
    if let Some(swap) = swap(dst, size) {
        asm.emit(swap);
    }
}
