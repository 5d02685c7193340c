//! pcap-filter in the kernel: an expression becomes one eBPF program that decides about a packet
//! before it is copied.
//!
//! libpcap compiles the expression to classic BPF for one link type (`compile`), `translate` turns
//! that into eBPF, and the kernel's verifier takes it (`load`).
//!
//! An expression means what it means to tcpdump on a live Linux interface. That includes VLANs: the
//! outer tag of a packet is usually not in its bytes but beside them. Up to the first `vlan` of an
//! expression, a packet is looked at as its bytes are, so that `tcp port 80` finds it whether it has
//! such a tag or not; `vlan` finds the tag in either place, and what follows looks behind it.

mod assemble;
pub mod classic;
mod compile;
mod insn;
pub mod interpret;
mod ir;
mod load;
mod locate;
mod program;
#[cfg(test)]
mod samples;
mod translate;
mod trial;
mod vlan;
mod words;

pub use classic::{ClassicError, ClassicInsn, ClassicProgram};
pub use compile::{
    FilterError, MAX_EXPRESSION_BYTES, MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_WORDS,
    MAX_UNOPTIMIZED_INSTRUCTIONS, Place, compile,
};
pub use insn::BpfInsn;
pub use load::{FilterMaps, load};
pub use program::{Counting, Epilogue, MapRef, Origin, Part, Program};
pub use translate::NEXT;
pub use trial::{Decision, Trial, TrialError};

use crate::pipeline::packet::LinkType;
use ir::Fragment;
use translate::Stages;

/// Which packets a capture takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterSpec {
    /// A pcap-filter(7) expression; every packet without one.
    pub expression: Option<String>,
}

impl FilterSpec {
    /// Whether there is nothing to decide.
    #[must_use]
    pub fn takes_everything(&self) -> bool {
        self.expression.is_none()
    }

    /// An expression and nothing else.
    #[must_use]
    pub fn expression(expression: &str) -> Self {
        Self {
            expression: Some(expression.to_owned()),
        }
    }
}

/// A filter for one link type, ready to be translated for each direction.
#[derive(Debug, Clone)]
pub struct Filter {
    classic: Vec<ClassicProgram>,
    tagged: Option<Vec<ClassicProgram>>,
    stages: Stages,
}

impl Filter {
    /// Compiles a filter for a link type. An expression that another link type has and this one has
    /// not (`arp` without a link layer) matches nothing here.
    ///
    /// # Errors
    ///
    /// What is wrong with the expression, and where.
    pub fn compile(spec: &FilterSpec, link_type: LinkType) -> Result<Self, FilterError> {
        let mut classic = Vec::new();
        let mut tagged = None;
        if let Some(expression) = &spec.expression {
            let program = compile::compile_or_nothing(expression, link_type)?;
            if link_type == LinkType::Ethernet
                && let Some(beside) = vlan::beside(expression)
            {
                tagged = Some(vec![compile::compile_or_nothing(&beside, link_type)?]);
            }
            classic.push(program);
        }
        let decode = |programs: &[ClassicProgram]| {
            programs
                .iter()
                .map(Fragment::decode)
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            stages: Stages {
                plain: decode(&classic)?,
                tagged: tagged.as_deref().map(decode).transpose()?,
            },
            classic,
            tagged,
        })
    }

    /// The classic programs that a packet passes, one after the other.
    #[must_use]
    pub fn classic(&self) -> &[ClassicProgram] {
        &self.classic
    }

    /// Those for packets whose VLAN tag is beside their bytes, where that makes a difference.
    #[must_use]
    pub fn tagged(&self) -> Option<&[ClassicProgram]> {
        self.tagged.as_deref()
    }

    /// Translates the filter.
    #[must_use]
    pub fn program(&self, epilogue: Epilogue) -> Program {
        translate::translate(&self.stages, epilogue)
    }
}
