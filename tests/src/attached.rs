//! Programs attached to an interface, as reported by the kernel and tc, not by the recorder.

use anyhow::Result;
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};

use crate::netns::Namespace;

const HOOKS: [(&str, TcAttachType); 2] = [
    ("ingress", TcAttachType::Ingress),
    ("egress", TcAttachType::Egress),
];

/// TCX programs of both directions of an interface, as `direction name`, in the order in which they run;
/// none on kernels before 6.6.
pub fn tcx_programs(namespace: &Namespace, interface: &str) -> Result<Vec<String>> {
    let mut programs = Vec::new();
    for (direction, hook) in HOOKS {
        let attached = match namespace.run(|| SchedClassifier::query_tcx(interface, hook)) {
            Ok((_, attached)) => attached,
            Err(ProgramError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::EINVAL) =>
            {
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        for program in attached {
            let name = program.name_as_str().unwrap_or_default();
            programs.push(format!("{direction} {name}"));
        }
    }
    Ok(programs)
}

/// BPF filters of clsact on both directions of an interface, one line of tc each, in the order in which
/// they run.
pub fn clsact_filters(namespace: &Namespace, interface: &str) -> Result<Vec<String>> {
    let mut filters = Vec::new();
    for (direction, _) in HOOKS {
        let text = namespace.tc(&format!("filter show dev {interface} {direction}"))?;
        let lines = text.lines().filter(|line| line.contains(" handle "));
        filters.extend(lines.map(|line| format!("{direction} {line}")));
    }
    Ok(filters)
}

/// All programs.
pub fn programs(namespace: &Namespace, interface: &str) -> Result<Vec<String>> {
    let mut programs = tcx_programs(namespace, interface)?;
    programs.extend(clsact_filters(namespace, interface)?);
    Ok(programs)
}
