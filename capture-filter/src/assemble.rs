//! Emits instructions and resolves jumps, all of them forward.

use super::{
    insn::{BpfInsn, LOAD_64, R0, Reg},
    program::{MapRef, Origin, Part, Program, TagPlace},
};

/// A place in the program, to be bound once and after every jump to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label(usize);

/// How far a jump may go: 16 bits, signed.
const REACH: usize = i16::MAX as usize;

/// The program so far.
///
/// Unreachable instructions are dropped: the verifier rejects a program that has them.
#[derive(Debug)]
pub(super) struct Assembler {
    insns: Vec<BpfInsn>,
    origins: Vec<Origin>,
    maps: Vec<(usize, MapRef)>,
    /// Jumps whose label is not bound yet, in the order of the program.
    pending: Vec<(usize, Label)>,
    labels: usize,
    /// Whether the next instruction is reachable.
    reachable: bool,
    /// Assigned to emitted instructions.
    pub(super) origin: Origin,
    reach: usize,
}

impl Assembler {
    pub(super) const fn new() -> Self {
        Self::with_reach(REACH)
    }

    /// With a smaller reach, so that tests see branch islands without long programs.
    pub(super) const fn with_reach(reach: usize) -> Self {
        Self {
            insns: Vec::new(),
            origins: Vec::new(),
            maps: Vec::new(),
            pending: Vec::new(),
            labels: 0,
            reachable: true,
            origin: Origin {
                tag: TagPlace::None,
                slow: false,
                part: Part::Start,
            },
            reach,
        }
    }

    pub(super) const fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    /// Whether an instruction emitted now would be reached.
    pub(super) const fn reachable(&self) -> bool {
        self.reachable
    }

    pub(super) fn emit(&mut self, insn: BpfInsn) {
        self.bridge();
        self.push(insn);
    }

    /// `dst = map`, two slots.
    pub(super) fn load_map(&mut self, dst: Reg, map: MapRef) {
        self.bridge();
        if self.reachable {
            self.maps.push((self.insns.len(), map));
        }
        self.push(BpfInsn::new(LOAD_64, dst, R0, 0, 0));
        self.push(BpfInsn::new(0, R0, R0, 0, 0));
    }

    /// A conditional jump to `label`.
    pub(super) fn branch(&mut self, insn: BpfInsn, label: Label) {
        self.bridge();
        if self.reachable {
            self.pending.push((self.insns.len(), label));
        }
        self.push(insn);
    }

    /// An unconditional jump to `label`.
    pub(super) fn jump(&mut self, label: Label) {
        self.branch(BpfInsn::jump(), label);
    }

    /// Binds the label to this position.
    pub(super) fn bind(&mut self, label: Label) {
        let here = self.insns.len();
        let mut bound = false;
        let insns = &mut self.insns;
        self.pending.retain(|(at, wanted)| {
            if *wanted != label {
                return true;
            }
            insns[*at].offset = offset(*at, here);
            bound = true;
            false
        });
        self.reachable |= bound;
    }

    pub(super) fn finish(self) -> Program {
        debug_assert!(self.pending.is_empty(), "every label is bound");
        Program {
            insns: self.insns,
            origins: self.origins,
            maps: self.maps,
        }
    }

    fn push(&mut self, insn: BpfInsn) {
        if self.reachable {
            self.insns.push(insn);
            self.origins.push(self.origin);
            self.reachable = !insn.ends_block();
        }
    }

    /// Emits a branch island before the oldest open jump gets too long: open jumps land there and
    /// continue.
    fn bridge(&mut self) {
        let Some((oldest, _)) = self.pending.first() else {
            return;
        };
        // Each open jump may need an entry on the island, and an instruction may take two slots.
        if self.insns.len() - oldest + self.pending.len() + 4 < self.reach {
            return;
        }
        let now = self.insns.len();
        let old = self
            .pending
            .partition_point(|(at, _)| now - at > self.reach / 4);
        let jumps: Vec<_> = self.pending.drain(..old.max(1)).collect();
        let mut labels: Vec<Label> = jumps.iter().map(|(_, label)| *label).collect();
        labels.sort_unstable();
        labels.dedup();

        let (was_reachable, origin) = (self.reachable, self.origin);
        self.origin.part = Part::Island;
        if was_reachable {
            let mut over = BpfInsn::jump();
            over.offset = labels.len() as i16;
            self.push(over);
        }
        let first = self.insns.len();
        for (entry, label) in labels.iter().enumerate() {
            self.reachable = true;
            self.pending.push((first + entry, *label));
            self.push(BpfInsn::jump());
        }
        for (at, label) in jumps {
            let entry = labels.partition_point(|other| *other < label);
            self.insns[at].offset = offset(at, first + entry);
        }
        self.reachable = was_reachable;
        self.origin = origin;
    }
}

/// The offset of a jump; `bridge` keeps it within 16 bits.
fn offset(from: usize, to: usize) -> i16 {
    let distance = to - from - 1;
    debug_assert!(distance <= REACH);
    distance as i16
}
