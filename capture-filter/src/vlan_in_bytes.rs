//! VLAN tags that are in a packet's bytes and not in its metadata: a packet that was sent with its tag, or
//! a packet of a capture file.
//!
//! Whether a tag is in the bytes or in the metadata depends on the driver, the direction and the sender.
//! To give an expression the same meaning everywhere, it sees such a packet as if the kernel had moved
//! the outer tag to the metadata: the four bytes at 12 are skipped, and tests of the metadata read them.

use super::{
    insn::{Alu, Cond, Size},
    ir::{Ancillary, Fragment, Op, Operand, VLAN_SCRATCH},
};

/// Offset of the tag: after the two addresses.
const TAG: u32 = 12;
/// Bytes of a tag.
const LENGTH: u32 = 4;

/// The fragment for packets whose outer tag is in their bytes, derived from the one for packets whose
/// outer tag is in the metadata.
pub(super) fn for_tag_in_bytes(fragment: &Fragment) -> Fragment {
    let expanded: Vec<Vec<Op>> = fragment.ops.iter().map(|op| expand(*op)).collect();
    let mut positions = Vec::new();
    let mut length = 0;
    for ops in &expanded {
        positions.push(length);
        length += ops.len();
    }
    let mut ops = Vec::with_capacity(length);
    for (original, expanded) in fragment.ops.iter().zip(expanded) {
        let base = ops.len();
        // A jump stays one operation; in the expansion of others, jumps are relative.
        let jumps = targets(&mut original.clone()).is_some();
        for mut op in expanded {
            for target in targets(&mut op).into_iter().flatten() {
                *target = if jumps {
                    positions[*target]
                } else {
                    base + *target
                };
            }
            ops.push(op);
        }
    }
    Fragment { ops }
}

/// The jump targets of an operation.
fn targets(op: &mut Op) -> Option<Vec<&mut usize>> {
    match op {
        Op::Jump(target) => Some(vec![target]),
        Op::Branch {
            then, otherwise, ..
        }
        | Op::Lookup {
            then, otherwise, ..
        }
        | Op::Bit {
            then, otherwise, ..
        } => Some(vec![then, otherwise]),
        _ => None,
    }
}

/// The equivalent for the packet with the tag in it; jumps count from its first operation.
fn expand(op: Op) -> Vec<Op> {
    let k = |operation, k| Op::Arithmetic(operation, Operand::K(k));
    match op {
        Op::Load { size, offset } => load(size, offset),
        Op::LoadIndirect { size, offset } if offset >= TAG => vec![Op::LoadIndirect {
            size,
            offset: offset.saturating_add(LENGTH),
        }],
        Op::LoadIndirect { size, offset } => load_indirect(size, offset),
        Op::HeaderLength { offset } if offset >= TAG => vec![Op::HeaderLength {
            offset: offset.saturating_add(LENGTH),
        }],
        Op::LoadLength => vec![Op::LoadLength, k(Alu::Sub, LENGTH)],
        Op::LoadXLength => vec![
            Op::StoreScratch(VLAN_SCRATCH),
            Op::LoadLength,
            k(Alu::Sub, LENGTH),
            Op::ToX,
            Op::LoadScratch(VLAN_SCRATCH),
        ],
        Op::LoadAncillary(Ancillary::VlanPresent) => vec![Op::Constant(1)],
        Op::LoadAncillary(Ancillary::VlanProtocol) => vec![half(TAG)],
        Op::LoadAncillary(Ancillary::VlanTag) => vec![half(TAG + 2)],
        Op::LoadAncillary(Ancillary::Protocol) => vec![half(TAG + LENGTH)],
        other => vec![other],
    }
}

const fn half(offset: u32) -> Op {
    Op::Load {
        size: Size::Half,
        offset,
    }
}

/// A load at a fixed offset.
fn load(size: Size, offset: u32) -> Vec<Op> {
    let before = TAG.saturating_sub(offset);
    if before == 0 {
        let offset = offset.saturating_add(LENGTH);
        return vec![Op::Load { size, offset }];
    }
    if before >= size.bytes() {
        return vec![Op::Load { size, offset }];
    }
    // Part of it is before the tag and part after it: `before` bytes, and `after` bytes.
    let after = size.bytes() - before;
    let mask = |bytes: u32| u32::MAX >> (32 - 8 * bytes);
    let word = |offset| Op::Load {
        size: Size::Word,
        offset,
    };
    let k = |operation, k| Op::Arithmetic(operation, Operand::K(k));
    vec![
        Op::StoreXScratch(VLAN_SCRATCH),
        word(TAG - 4),
        k(Alu::And, mask(before)),
        k(Alu::Lsh, 8 * after),
        Op::ToX,
        // The last bytes of a word that ends where the load ends.
        word(TAG + LENGTH + after - 4),
        k(Alu::And, mask(after)),
        Op::Arithmetic(Alu::Or, Operand::X),
        Op::LoadXScratch(VLAN_SCRATCH),
    ]
}

/// A load at X + `offset`, which may be before the tag, after it, or across it.
fn load_indirect(size: Size, offset: u32) -> Vec<Op> {
    let mut ops = vec![Op::ToA, Op::Arithmetic(Alu::Add, Operand::K(offset))];
    let across: Vec<u32> = (TAG + 1 - size.bytes()..TAG).collect();
    // One comparison each, then the load before the tag, then those across it, then the one after
    // it.
    let first_load = ops.len() + across.len() + 1;
    let mut loads = vec![vec![Op::LoadIndirect { size, offset }]];
    loads.extend(across.iter().map(|at| load(size, *at)));
    let behind = offset + LENGTH;
    loads.push(vec![Op::LoadIndirect {
        size,
        offset: behind,
    }]);
    let mut starts = Vec::new();
    let mut at = first_load;
    for load in &loads {
        starts.push(at);
        // Each but the last is followed by a jump to the end.
        at += load.len() + 1;
    }
    let end = at - 1;
    let last = loads.len() - 1;
    let mut compare = |cond, k, then| {
        let next = ops.len() + 1;
        ops.push(Op::Branch {
            cond,
            operand: Operand::K(k),
            then,
            otherwise: next,
        });
    };
    for (number, at) in across.iter().enumerate() {
        compare(Cond::Eq, *at, starts[number + 1]);
    }
    compare(Cond::Ge, TAG, starts[last]);
    for (number, load) in loads.into_iter().enumerate() {
        ops.extend(load);
        if number < last {
            ops.push(Op::Jump(end));
        }
    }
    ops
}

#[cfg(test)]
mod tests;
