//! pcap-filter in the kernel: an expression becomes one eBPF program that decides about a packet
//! before the packet is copied.
//!
//! libpcap compiles the expression to classic BPF for one link type (`compile`), `translate` turns
//! that into eBPF, and `load` loads it into the kernel.
//!
//! An expression means the same as in tcpdump for packets that a Linux interface receives. That includes
//! VLANs: the kernel moves the outer tag of a received packet from its bytes to its metadata. Before the
//! first `vlan` in an expression the tag is ignored, so that `tcp port 80` matches a packet with or without
//! one; `vlan` tests the tag, and what follows applies to the data after it. A packet whose outer tag is
//! still in its bytes, as in a capture file, is treated the same way.

mod assemble;
pub mod bench;
mod builder;
pub mod classic;
mod compile;
mod compiled;
mod compiler;
mod error;
mod error_place;
mod explain;
mod insn;
pub mod interpret;
mod ir;
pub mod kernel;
mod libpcap;
mod load;
#[cfg(test)]
mod on_files;
mod program;
#[cfg(test)]
mod samples;
mod targets;
mod tokens;
mod translate;
mod trial;
mod tunnel;
mod vlan_in_bytes;
mod vlan_metadata;

pub use classic::{ClassicError, ClassicInsn, ClassicProgram};
pub use compile::compile;
pub use compiled::{CompiledFilter, PacketMatcher};
pub use compiler::{Compiler, run_if_asked};
pub use error::{
    FilterError, MAX_COMPILE_MEMORY, MAX_COMPILE_TIME, MAX_EXPRESSION_BYTES, MAX_EXPRESSION_DEPTH,
    MAX_EXPRESSION_TOKENS, MAX_NAMES, MAX_TUNNELS, MAX_UNOPTIMIZED_INSTRUCTIONS, Place,
};
pub use explain::explain;
pub use insn::BpfInsn;
pub use load::{FilterMaps, load};
pub use program::{Epilogue, MapRef, Origin, Part, Program, Side, TagPlace, TargetMap};
pub use targets::{TargetError, TargetMaps};
pub use translate::NEXT;
pub use trial::{Decision, FileError, Runner, Trial, TrialError, TrialTotals, try_on_file};

use capture_types::LinkType;
use capture_types::{FilterSpec, TargetKinds, Tunnel};
use compiled::ClassicPrograms;
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
    /// Compiles a filter for a link type in this process. An expression that is valid for another link
    /// type only (`arp` without a link layer) matches nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the expression, and where.
    pub fn compile(spec: &FilterSpec, link_type: LinkType) -> Result<Self, FilterError> {
        let link_type = compile::dlt(link_type)?;
        CompiledFilter::compile_here_for(spec, &[link_type])?.filter_for(link_type, spec.targets)
    }

    /// Combines the stages. Targets and tunnels are found on Ethernet and raw IP only.
    fn assemble(
        spec: &FilterSpec,
        programs: &ClassicPrograms,
        dlt: Linktype,
    ) -> Result<Self, FilterError> {
        let mut filter = Self {
            stages: Stages::default(),
            classic: Vec::new(),
            tagged: None,
        };
        if spec.expression.is_some() {
            let outer = programs.outer(dlt);
            let outer = outer.ok_or_else(|| FilterError::LinkType(dlt.0.to_string()))?;
            filter.push(outer.plain.clone())?;
            if let Some(program) = &outer.tagged {
                filter.stages.tagged = Some(vec![Fragment::decode(program)?]);
                filter.tagged = Some(program.clone());
            }
            if dlt == Linktype::ETHERNET {
                let stages = filter.stages.tagged.as_ref();
                let fragment = stages.unwrap_or(&filter.stages.plain)[0].clone();
                filter.stages.in_bytes = Some(vec![vlan_in_bytes::for_tag_in_bytes(&fragment)]);
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
            if spec.targets.hosts || spec.targets.ports {
                filter.append(targets::inclusion(spec.targets, link_type));
            }
            if spec.targets.not_hosts || spec.targets.not_ports {
                filter.append(targets::exclusion(spec.targets, link_type));
            }
            if let Some(stage) = spec.targets.pods {
                filter.append(targets::pods(stage, link_type));
            }
        }
        if let (Some(inner), Some(program)) = (&spec.inner, programs.inner()) {
            let tunnels = if inner.tunnels.is_empty() {
                &Tunnel::ANY
            } else {
                &inner.tunnels[..]
            };
            filter.append(tunnel::enter(tunnels, link_type));
            filter.push(program.clone())?;
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
        let variants = [&mut self.stages.tagged, &mut self.stages.in_bytes];
        for stages in variants.into_iter().flatten() {
            stages.push(fragment.clone());
        }
        self.stages.plain.push(fragment);
    }

    /// The classic programs, each with the number of its stage.
    #[must_use]
    pub fn classic(&self) -> &[(usize, ClassicProgram)] {
        &self.classic
    }

    /// The first stage's classic program for packets whose VLAN tag is in the metadata, if it differs
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
