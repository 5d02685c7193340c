//! The choices for Wireshark: interfaces of nodes, and running captures.

/// A choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An interface of a node.
    Interface {
        /// The node.
        node: String,
        /// The interface.
        name: String,
    },
    /// A running capture on a node.
    Capture {
        /// The node.
        node: String,
        /// The capture.
        name: String,
    },
}

const INTERFACE: &str = "/interface/";
const CAPTURE: &str = "/capture/";
const PREFIX: &str = "captured/";

impl Source {
    /// The value that Wireshark passes back.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Interface { node, name } => format!("{PREFIX}{node}{INTERFACE}{name}"),
            Self::Capture { node, name } => format!("{PREFIX}{node}{CAPTURE}{name}"),
        }
    }

    /// The displayed name.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Interface { node, name } => format!("{name} on {node}"),
            Self::Capture { node, name } => format!("capture {name} on {node}"),
        }
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &str {
        match self {
            Self::Interface { node, .. } | Self::Capture { node, .. } => node,
        }
    }

    /// Parses a value; `None` if it is not one of ours.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let rest = value.strip_prefix(PREFIX)?;
        // Neither a node nor a capture has a slash in its name.
        if let Some((node, name)) = rest.split_once(INTERFACE) {
            return Some(Self::Interface {
                node: node.to_owned(),
                name: name.to_owned(),
            });
        }
        let (node, name) = rest.split_once(CAPTURE)?;
        Some(Self::Capture {
            node: node.to_owned(),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_went() {
        let (node, name) = ("[2001:db8::1]:9443".to_owned(), "eth0.5".to_owned());
        for source in [
            Source::Interface {
                node: node.clone(),
                name: name.clone(),
            },
            Source::Capture { node, name },
        ] {
            assert_eq!(Source::parse(&source.value()), Some(source));
        }
        assert_eq!(Source::parse("eth0"), None);
        assert_eq!(Source::parse("captured/a"), None);
    }
}
