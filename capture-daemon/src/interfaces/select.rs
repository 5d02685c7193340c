//! Which interfaces a capture selects.

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::Interface;
use capture_types::InterfacePattern;

/// The requested interfaces cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// No interface has this name.
    #[error("no interface named {name:?}{}", hint(near.as_deref(), *any))]
    NotFound {
        /// The requested name.
        name: String,
        /// An interface with a similar name.
        near: Option<String>,
        /// Whether any interface exists.
        any: bool,
    },
    /// The pattern is malformed.
    #[error("interface pattern {pattern:?}: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// The packets of the interface have no link type that can be recorded.
    #[error(
        "interface {name:?} carries neither Ethernet nor IP packets (hardware type \
         {hardware_type}): leave it out"
    )]
    LinkType {
        /// The interface.
        name: String,
        /// `ARPHRD_...` of `linux/if_arp.h`.
        hardware_type: u16,
    },
}

fn hint(near: Option<&str>, any: bool) -> String {
    match near {
        Some(near) => format!(": did you mean {near:?}?"),
        None if any => ": `ip link` lists them".to_owned(),
        None => String::new(),
    }
}

/// Compiled patterns.
#[derive(Debug)]
pub struct Selection {
    any: bool,
    named: Vec<Named>,
    globs: GlobSet,
}

/// An interface that was requested by name. It stays selected when it is renamed; when it is gone, the
/// next interface with the requested name is selected.
#[derive(Debug)]
struct Named {
    name: String,
    ifindex: Option<u32>,
}

impl Selection {
    /// Resolves the names among `patterns` against the interfaces that exist now.
    ///
    /// # Errors
    ///
    /// A name does not exist or cannot be recorded, or a pattern is malformed.
    pub fn new(
        patterns: &[InterfacePattern],
        interfaces: &[Interface],
    ) -> Result<Self, InterfaceError> {
        let mut selection = Self {
            any: false,
            named: Vec::new(),
            globs: GlobSet::empty(),
        };
        let mut globs = GlobSetBuilder::new();
        for pattern in patterns {
            match pattern {
                InterfacePattern::Any => selection.any = true,
                InterfacePattern::Name(name) => {
                    let ifindex = Some(find(name, interfaces)?.ifindex);
                    selection.named.push(Named {
                        name: name.clone(),
                        ifindex,
                    });
                }
                InterfacePattern::Glob(text) => {
                    let glob = Glob::new(text).map_err(|source| InterfaceError::Pattern {
                        pattern: text.clone(),
                        source,
                    })?;
                    globs.add(glob);
                }
            }
        }
        selection.globs = globs.build().map_err(|source| InterfaceError::Pattern {
            pattern: source.glob().unwrap_or_default().to_owned(),
            source,
        })?;
        Ok(selection)
    }

    /// Whether the capture selects this interface, which exists.
    pub fn takes(&mut self, interface: &Interface) -> bool {
        if interface.link_type().is_none() {
            return false;
        }
        for named in &mut self.named {
            if named.ifindex.is_none() && named.name == interface.name {
                named.ifindex = Some(interface.ifindex);
            }
        }
        self.any
            || self.globs.is_match(&interface.name)
            || self
                .named
                .iter()
                .any(|named| named.ifindex == Some(interface.ifindex))
    }

    /// Forgets an interface that is gone.
    pub fn forget(&mut self, ifindex: u32) {
        for named in &mut self.named {
            if named.ifindex == Some(ifindex) {
                named.ifindex = None;
            }
        }
    }
}

fn find<'a>(name: &str, interfaces: &'a [Interface]) -> Result<&'a Interface, InterfaceError> {
    let Some(interface) = interfaces.iter().find(|interface| interface.name == name) else {
        let names = interfaces.iter().map(|interface| interface.name.as_str());
        return Err(InterfaceError::NotFound {
            name: name.to_owned(),
            near: nearest(name, names).map(str::to_owned),
            any: !interfaces.is_empty(),
        });
    };
    if interface.link_type().is_none() {
        return Err(InterfaceError::LinkType {
            name: name.to_owned(),
            hardware_type: interface.hardware_type,
        });
    }
    Ok(interface)
}

/// The name most similar to `name`, ignoring case, if any is similar enough.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    names
        .map(|candidate| {
            let likeness = strsim::jaro_winkler(&name, &candidate.to_lowercase());
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::{InterfaceError, Selection};
    use crate::interfaces::Interface;
    use capture_types::InterfacePattern;

    fn interface(ifindex: u32, name: &str, hardware_type: u16) -> Interface {
        Interface {
            ifindex,
            name: name.to_owned(),
            hardware_type,
            kind: None,
            alias: None,
            address: Vec::new(),
            up: true,
        }
    }

    #[test]
    fn a_similar_name_is_suggested() {
        let interfaces = [interface(1, "lo", 772), interface(2, "eth0", 1)];
        for name in ["eht0", "ETH0", "eth00"] {
            let asked = [InterfacePattern::Name(name.to_owned())];
            let error = Selection::new(&asked, &interfaces).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("no interface named {name:?}: did you mean \"eth0\"?")
            );
        }
        let asked = [InterfacePattern::Name("zzz".to_owned())];
        let error = Selection::new(&asked, &interfaces).unwrap_err();
        assert!(
            matches!(error, InterfaceError::NotFound { near: None, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_named_interface_stays_selected_when_it_is_renamed() {
        let asked = [InterfacePattern::Name("eth0".to_owned())];
        let mut selection = Selection::new(&asked, &[interface(2, "eth0", 1)]).unwrap();
        assert!(selection.takes(&interface(2, "uplink", 1)));
        assert!(
            !selection.takes(&interface(3, "eth0", 1)),
            "another interface took its name"
        );
    }

    #[test]
    fn a_glob_selects_matching_interfaces_that_can_be_recorded() {
        let asked = [InterfacePattern::Glob("veth*".to_owned())];
        let mut selection = Selection::new(&asked, &[]).unwrap();
        assert!(selection.takes(&interface(7, "veth12", 1)));
        assert!(!selection.takes(&interface(8, "eth0", 1)));
        assert!(
            !selection.takes(&interface(9, "vethcan", 280)),
            "a CAN bus has no link type here"
        );
        let asked = [InterfacePattern::Glob("veth[".to_owned())];
        assert!(Selection::new(&asked, &[]).is_err());
    }
}
