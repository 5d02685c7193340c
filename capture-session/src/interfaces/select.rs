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
    /// There are too many patterns, or a pattern is too long.
    #[error(
        "{count} interface patterns, one of them {longest} bytes long: give at most {MOST_PATTERNS}, \
         of at most {LONGEST_PATTERN} bytes each"
    )]
    Size {
        /// How many patterns there are.
        count: usize,
        /// Bytes of the longest one.
        longest: usize,
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

/// Patterns of one capture.
const MOST_PATTERNS: usize = 256;

/// Bytes of a pattern. The names of interfaces have 15 bytes at most, alternative ones 127.
const LONGEST_PATTERN: usize = 256;

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
        let longest = patterns.iter().map(length).max().unwrap_or(0);
        if patterns.len() > MOST_PATTERNS || longest > LONGEST_PATTERN {
            return Err(InterfaceError::Size {
                count: patterns.len(),
                longest,
            });
        }
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
                // An interface can be called `veth*`: a name takes precedence over a pattern.
                InterfacePattern::Glob(text)
                    if interfaces.iter().any(|one| one.is_called(text)) =>
                {
                    let ifindex = Some(find(text, interfaces)?.ifindex);
                    selection.named.push(Named {
                        name: text.clone(),
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

    /// Whether the capture selects this existing interface.
    pub fn takes(&mut self, interface: &Interface) -> bool {
        self.matches(interface) && interface.link_type().is_some()
    }

    /// Whether the patterns match this existing interface, whatever its link type.
    pub fn matches(&mut self, interface: &Interface) -> bool {
        for named in &mut self.named {
            if named.ifindex.is_none() && interface.is_called(&named.name) {
                named.ifindex = Some(interface.ifindex);
            }
        }
        self.any || self.globs.is_match(&interface.name) || self.names(interface.ifindex)
    }

    /// Whether the interface was requested by name.
    #[must_use]
    pub fn names(&self, ifindex: u32) -> bool {
        self.named
            .iter()
            .any(|named| named.ifindex == Some(ifindex))
    }

    /// Whether the interface was requested by name or by a pattern, and not only by `any`.
    #[must_use]
    pub fn is_specific(&self, interface: &Interface) -> bool {
        self.globs.is_match(&interface.name) || self.names(interface.ifindex)
    }

    /// Removes an interface that is gone.
    pub fn forget(&mut self, ifindex: u32) {
        for named in &mut self.named {
            if named.ifindex == Some(ifindex) {
                named.ifindex = None;
            }
        }
    }
}

fn find<'a>(name: &str, interfaces: &'a [Interface]) -> Result<&'a Interface, InterfaceError> {
    let exact = interfaces.iter().find(|interface| interface.name == name);
    let called = || {
        interfaces
            .iter()
            .find(|interface| interface.is_called(name))
    };
    let Some(interface) = exact.or_else(called) else {
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

fn length(pattern: &InterfacePattern) -> usize {
    match pattern {
        InterfacePattern::Any => 0,
        InterfacePattern::Name(text) | InterfacePattern::Glob(text) => text.len(),
    }
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
            alternative_names: Vec::new(),
            hardware_type,
            kind: None,
            alias: None,
            address: Vec::new(),
            up: true,
            peer: None,
            master: None,
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
    fn an_alternative_name_is_a_name_and_a_name_goes_before_a_glob() {
        let mut named = interface(2, "eth0", 1);
        named.alternative_names = vec!["enp0s31f6".to_owned()];
        let starred = interface(3, "veth*", 1);
        let other = interface(4, "veth1", 1);
        let interfaces = [named, starred, other];
        let asked = [
            InterfacePattern::Name("enp0s31f6".to_owned()),
            InterfacePattern::Glob("veth*".to_owned()),
        ];
        let mut selection = Selection::new(&asked, &interfaces).unwrap();
        let taken = interfaces.map(|interface| selection.takes(&interface));
        assert_eq!(taken, [true, true, false]);
    }

    #[test]
    fn patterns_are_bounded() {
        let long = [InterfacePattern::Glob("{a,".repeat(1 << 20))];
        let error = Selection::new(&long, &[]).unwrap_err();
        assert!(matches!(error, InterfaceError::Size { .. }), "{error}");
        let many = vec![InterfacePattern::Glob("veth*".to_owned()); 257];
        let error = Selection::new(&many, &[]).unwrap_err();
        assert!(error.to_string().contains("at most 256"), "{error}");
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
