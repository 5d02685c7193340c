//! The compiled expressions of a filter, for every link type that is needed: compiled once, then
//! combined with targets and translated as often as programs are needed.

use std::sync::Arc;

use pcap::Linktype;
use serde::{Deserialize, Serialize};

use super::{
    Epilogue, Filter, Program,
    classic::ClassicProgram,
    compile,
    error::{FilterError, MAX_TUNNELS},
    interpret::{NoMaps, Outcome, Skb, interpret},
    libpcap, vlan_metadata,
};
use capture_types::{Direction, FilterSpec, LinkType, TargetKinds};

/// A filter whose expressions have been compiled and found valid. A clone shares the programs.
#[derive(Debug, Clone)]
pub struct CompiledFilter {
    spec: Arc<FilterSpec>,
    programs: Arc<ClassicPrograms>,
}

/// Decides about recorded packets in user space, with the programs that the kernel would run.
#[derive(Debug, Clone)]
pub struct PacketMatcher {
    inbound: Program,
    outbound: Program,
}

impl PacketMatcher {
    /// Whether a packet matches; its VLAN tags are in its bytes. If the program has a fault, which
    /// the kernel's verifier excludes, the packet counts as a match.
    #[must_use]
    pub fn matches(&self, direction: Direction, bytes: &[u8], original_length: u32) -> bool {
        let program = match direction {
            Direction::In => &self.inbound,
            Direction::Out => &self.outbound,
        };
        let skb = Skb {
            bytes,
            length: Some(original_length),
            ..Skb::default()
        };
        interpret(program, &skb, &NoMaps) != Ok(Outcome::Filtered)
    }
}

/// The classic programs of one filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClassicPrograms {
    /// Programs of the expression, by libpcap's number of the link type.
    outer: Vec<(i32, OuterPrograms)>,
    /// Program of the expression about the packet inside a tunnel.
    inner: Option<ClassicProgram>,
}

/// The classic programs of the expression for one link type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OuterPrograms {
    pub(super) plain: ClassicProgram,
    /// For packets whose outer VLAN tag is not in their bytes, if different.
    pub(super) tagged: Option<ClassicProgram>,
}

/// The expressions of a filter, and the link types to compile for: the input of libpcap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Expressions {
    pub(super) outer: Option<String>,
    pub(super) inner: Option<String>,
    /// libpcap's numbers (DLT).
    pub(super) link_types: Vec<i32>,
}

impl Expressions {
    pub(super) fn of(spec: &FilterSpec, link_types: &[Linktype]) -> Result<Self, FilterError> {
        if let Some(inner) = &spec.inner
            && inner.tunnels.len() > MAX_TUNNELS
        {
            return Err(FilterError::TooManyTunnels(inner.tunnels.len()));
        }
        Ok(Self {
            outer: spec.expression.clone(),
            inner: spec.inner.as_ref().map(|inner| inner.expression.clone()),
            link_types: link_types.iter().map(|link_type| link_type.0).collect(),
        })
    }

    /// The expression, or the one about the packet inside a tunnel.
    pub(super) const fn part(&mut self, inside: bool) -> &mut Option<String> {
        if inside {
            &mut self.inner
        } else {
            &mut self.outer
        }
    }

    /// The link types that captures have.
    pub(super) fn captured() -> Result<Vec<Linktype>, FilterError> {
        LinkType::ALL.into_iter().map(compile::dlt).collect()
    }

    /// Compiles them with libpcap on this thread.
    pub(super) fn compile(&self) -> Result<ClassicPrograms, FilterError> {
        let mut outer = Vec::new();
        if let Some(expression) = &self.outer {
            for link_type in &self.link_types {
                outer.push((
                    *link_type,
                    outer_programs(expression, Linktype(*link_type))?,
                ));
            }
        }
        let inner = self
            .inner
            .as_ref()
            .map(|expression| compile::compile_or_nothing(expression, Linktype::ETHERNET))
            .transpose()
            .map_err(|error| FilterError::Inner(Box::new(error)))?;
        Ok(ClassicPrograms { outer, inner })
    }
}

fn outer_programs(expression: &str, link_type: Linktype) -> Result<OuterPrograms, FilterError> {
    let plain = compile::compile_or_nothing(expression, link_type)?;
    let tagged = if link_type == Linktype::ETHERNET {
        vlan_metadata::for_metadata_tag(expression)
    } else {
        None
    };
    let tagged = tagged
        .map(
            |expression| match compile::compile_or_nothing(&expression, link_type) {
                Err(FilterError::Never) => Ok(ClassicProgram::nothing()),
                program => program,
            },
        )
        .transpose()?;
    Ok(OuterPrograms { plain, tagged })
}

impl ClassicPrograms {
    pub(super) fn outer(&self, link_type: Linktype) -> Option<&OuterPrograms> {
        let mut all = self.outer.iter();
        all.find(|(number, _)| *number == link_type.0)
            .map(|(_, programs)| programs)
    }

    pub(super) const fn inner(&self) -> Option<&ClassicProgram> {
        self.inner.as_ref()
    }
}

impl CompiledFilter {
    pub(super) fn new(spec: &FilterSpec, programs: Arc<ClassicPrograms>) -> Self {
        Self {
            spec: Arc::new(spec.clone()),
            programs,
        }
    }

    /// Compiles a filter in this process, without limits of time and memory, for the link types of
    /// captures. For expressions from outside use [`Compiler`](crate::Compiler).
    ///
    /// # Errors
    ///
    /// What is wrong with the expression, and where.
    pub fn compile_here(spec: &FilterSpec) -> Result<Self, FilterError> {
        Self::compile_here_for(spec, &Expressions::captured()?)
    }

    pub(super) fn compile_here_for(
        spec: &FilterSpec,
        link_types: &[Linktype],
    ) -> Result<Self, FilterError> {
        let expressions = Expressions::of(spec, link_types)?;
        let programs = libpcap::on_large_stack(|| expressions.compile())?;
        Ok(Self::new(spec, Arc::new(programs)))
    }

    /// The compiled specification; its kinds of targets have no effect here.
    #[must_use]
    pub fn spec(&self) -> &FilterSpec {
        &self.spec
    }

    /// The filter for a link type and with targets of these kinds.
    ///
    /// # Errors
    ///
    /// A classic program that cannot be translated.
    pub fn filter(&self, link_type: LinkType, targets: TargetKinds) -> Result<Filter, FilterError> {
        self.filter_for(compile::dlt(link_type)?, targets)
    }

    /// Whether every packet passes, apart from targets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spec.expression.is_none() && self.spec.inner.is_none()
    }

    /// The filter without targets, to be run in user space.
    ///
    /// # Errors
    ///
    /// A classic program that cannot be translated.
    pub fn matcher(&self, link_type: LinkType) -> Result<PacketMatcher, FilterError> {
        let filter = self.filter(link_type, TargetKinds::default())?;
        let program = |direction| {
            filter.program(Epilogue {
                index: 0,
                direction,
            })
        };
        Ok(PacketMatcher {
            inbound: program(Direction::In),
            outbound: program(Direction::Out),
        })
    }

    pub(super) fn filter_for(
        &self,
        link_type: Linktype,
        targets: TargetKinds,
    ) -> Result<Filter, FilterError> {
        let spec = FilterSpec {
            targets,
            ..(*self.spec).clone()
        };
        Filter::assemble(&spec, &self.programs, link_type)
    }
}
