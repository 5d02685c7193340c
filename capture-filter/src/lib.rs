//! pcap-filter in the kernel: an expression becomes one eBPF program that decides about a packet
//! before the packet is copied.
//!
//! libpcap compiles the expression to classic BPF for one link type (`compile`), `translate` turns
//! that into eBPF, and `load` loads it into the kernel.
//!
//! An expression means what it means to tcpdump on a live Linux interface. That includes VLANs: the
//! outer tag of a packet is usually not in its bytes but beside them. Up to the first `vlan` of an
//! expression, a packet is looked at as its bytes are, so that `tcp port 80` finds it whether it has
//! such a tag or not; `vlan` finds the tag in either place, and what follows looks behind it.

mod assemble;
pub mod bench;
mod builder;
pub mod classic;
mod compile;
mod error;
mod error_place;
mod explain;
mod insn;
pub mod interpret;
mod ir;
pub mod kernel;
mod libpcap;
mod load;
mod program;
#[cfg(test)]
mod samples;
mod targets;
mod tokens;
mod translate;
mod trial;
mod tunnel;
mod vlan_metadata;

pub use classic::{ClassicError, ClassicInsn, ClassicProgram};
pub use compile::compile;
pub use error::{
    FilterError, MAX_COMPILE_TIME, MAX_EXPRESSION_BYTES, MAX_EXPRESSION_DEPTH,
    MAX_EXPRESSION_TOKENS, MAX_UNOPTIMIZED_INSTRUCTIONS, Place,
};
pub use explain::explain;
pub use insn::BpfInsn;
pub use load::{FilterMaps, load};
pub use program::{Epilogue, MapRef, Origin, Part, Program};
pub use targets::{TargetError, TargetMaps};
pub use translate::NEXT;
pub use trial::{Decision, FileError, Runner, Trial, TrialError, TrialTotals, try_on_file};

use capture_types::LinkType;
use capture_types::{FilterSpec, TargetKinds, Tunnel};
use ir::Fragment;
use pcap::Linktype;
use translate::Stages;

/// A filter for one link type, ready to be translated for each direction.
#[derive(Debug, Clone)]
pub struct Filter {
    classic: Vec<(usize, ClassicProgram)>,
    tagged: Option<ClassicProgram>,
    stages: Stages,
}

impl Filter {
    /// Compiles a filter for a link type. An expression that is valid for another link type only (`arp`
    /// without a link layer) matches nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the expression, and where.
    pub fn compile(spec: &FilterSpec, link_type: LinkType) -> Result<Self, FilterError> {
        Self::compile_for(spec, compile::dlt(link_type)?)
    }

    /// [`Filter::compile`] for a link type by libpcap's name: `EN10MB`, `RAW`, `LINUX_SLL2`, ...
    /// Targets and tunnels are found on Ethernet and raw IP only.
    ///
    /// # Errors
    ///
    /// What is wrong with the expression, and where.
    pub fn compile_named(spec: &FilterSpec, name: &str) -> Result<Self, FilterError> {
        Self::compile_for(spec, compile::named(name)?)
    }

    fn compile_for(spec: &FilterSpec, dlt: Linktype) -> Result<Self, FilterError> {
        let mut filter = Self {
            stages: Stages::default(),
            classic: Vec::new(),
            tagged: None,
        };
        if let Some(expression) = &spec.expression {
            filter.push(compile::compile_or_nothing(expression, dlt)?)?;
            if dlt == Linktype::ETHERNET
                && let Some(beside) = vlan_metadata::for_metadata_tag(expression)
            {
                let program = match compile::compile_or_nothing(&beside, dlt) {
                    Err(FilterError::Never) => ClassicProgram::nothing(),
                    program => program?,
                };
                filter.stages.tagged = Some(vec![Fragment::decode(&program)?]);
                filter.tagged = Some(program);
            }
        }
        if spec.targets == TargetKinds::default() && spec.inner.is_none() {
            return Ok(filter);
        }
        let Some(link_type) = compile::link_type(dlt)? else {
            filter.push(ClassicProgram::nothing())?;
            return Ok(filter);
        };
        if spec.targets != TargetKinds::default() {
            filter.append(targets::target_lookup(spec.targets, link_type));
        }
        if let Some(inner) = &spec.inner {
            let tunnels = if inner.tunnels.is_empty() {
                &Tunnel::ANY
            } else {
                &inner.tunnels[..]
            };
            filter.append(tunnel::enter(tunnels, link_type));
            compile::compile_or_nothing(&inner.expression, Linktype::ETHERNET)
                .and_then(|program| filter.push(program))
                .map_err(|error| FilterError::Inner(Box::new(error)))?;
        }
        Ok(filter)
    }

    fn push(&mut self, program: ClassicProgram) -> Result<(), FilterError> {
        let fragment = Fragment::decode(&program)?;
        self.append(fragment);
        self.classic.push((self.stages.plain.len() - 1, program));
        Ok(())
    }

    fn append(&mut self, fragment: Fragment) {
        if let Some(tagged) = &mut self.stages.tagged {
            tagged.push(fragment.clone());
        }
        self.stages.plain.push(fragment);
    }

    /// The classic programs, each with the number of its stage.
    #[must_use]
    pub fn classic(&self) -> &[(usize, ClassicProgram)] {
        &self.classic
    }

    /// The first stage's classic program for packets whose VLAN tag is in the metadata, where it differs
    /// from the one for packets without such a tag.
    #[must_use]
    pub const fn tagged(&self) -> Option<&ClassicProgram> {
        self.tagged.as_ref()
    }

    /// Translates the filter.
    #[must_use]
    pub fn program(&self, epilogue: Epilogue) -> Program {
        translate::translate(&self.stages, epilogue)
    }
}
