//! What clients may do, by the names in their certificates.

use std::fmt;

use capture_types::Role;

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// The subject's CN.
    Common(String),
    /// dNSName of subjectAltName (RFC 5280, 4.2.1.6).
    Dns(String),
    /// uniformResourceIdentifier, as a SPIFFE ID is.
    Uri(String),
    /// rfc822Name.
    Email(String),
}

/// As openssl prints them.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Common(name) => write!(f, "CN:{name}"),
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(name) => write!(f, "URI:{name}"),
            Self::Email(name) => write!(f, "email:{name}"),
        }
    }
}

impl Name {
    /// A name of subjectAltName, as in `URI:spiffe://lab/alice`.
    pub fn alternative(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').unwrap_or_default();
        let make = match kind {
            "DNS" => Self::Dns,
            "URI" => Self::Uri,
            "email" => Self::Email,
            _ => {
                return Err(format!(
                    "{text:?}: begin with DNS:, URI: or email:, as in \"URI:spiffe://lab/alice\""
                ));
            }
        };
        if name.is_empty() {
            return Err(format!("{text:?}: the name is missing"));
        }
        Ok(make(name.to_owned()))
    }

    /// DNS names are compared without case (RFC 4343), everything else byte by byte.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dns(one), Self::Dns(other)) => one.eq_ignore_ascii_case(other),
            _ => self == other,
        }
    }
}

/// Roles by name. There are no patterns, so that an unexpected name never gets a role.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    entries: Vec<(Name, Role)>,
    default: Option<Role>,
}

/// The most bytes that are logged of a name without an entry.
const LONGEST: usize = 200;

impl Roles {
    /// The first matching entry decides. Without a default role, clients without an entry are rejected.
    #[must_use]
    pub const fn new(entries: Vec<(Name, Role)>, default: Option<Role>) -> Self {
        Self { entries, default }
    }

    /// Whether nobody can have a role.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.default.is_none()
    }

    /// The entries, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&Name, Role)> {
        self.entries.iter().map(|(name, role)| (name, *role))
    }

    /// The identity and the role of a client with these names.
    pub(super) fn of(&self, names: &[Name]) -> Option<(String, Role)> {
        let entry = self
            .entries
            .iter()
            .find(|(name, _)| names.iter().any(|one| one.is(name)));
        match entry {
            Some((name, role)) => Some((name.to_string(), *role)),
            None => self.default.map(|role| (shown(names), role)),
        }
    }
}

/// The first name of a client, cut for the log.
pub(super) fn shown(names: &[Name]) -> String {
    let Some(name) = names.first() else {
        return "a certificate without a name".to_owned();
    };
    let name = name.to_string();
    let printable = name.chars().filter(|character| !character.is_control());
    printable.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(name: &str) -> Name {
        Name::Uri(name.to_owned())
    }

    fn common(name: &str) -> Name {
        Name::Common(name.to_owned())
    }

    #[test]
    fn only_the_very_name_has_the_role() {
        let entries = vec![
            (uri("spiffe://lab/alice"), Role::Operator),
            (common("bob"), Role::Viewer),
            (Name::Dns("Node.Lab".to_owned()), Role::Viewer),
        ];
        let roles = Roles::new(entries, None);
        let of = |names: &[Name]| roles.of(names).map(|(_, role)| role);
        assert_eq!(of(&[uri("spiffe://lab/alice")]), Some(Role::Operator));
        assert_eq!(of(&[common("bob")]), Some(Role::Viewer));
        assert_eq!(of(&[Name::Dns("node.lab".to_owned())]), Some(Role::Viewer));
        for stranger in [
            uri("spiffe://lab/alice/x"),
            uri("spiffe://lab/Alice"),
            common("spiffe://lab/alice"),
            common("bob "),
            uri("bob"),
            Name::Email("bob".to_owned()),
        ] {
            assert_eq!(of(std::slice::from_ref(&stranger)), None, "{stranger}");
        }
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_first_entry_that_matches_decides_and_the_default_is_for_the_rest() {
        let entries = vec![(common("a"), Role::Viewer), (common("b"), Role::Operator)];
        let roles = Roles::new(entries, Some(Role::Viewer));
        let both = roles.of(&[common("b"), common("a")]);
        assert_eq!(both, Some(("CN:a".to_owned(), Role::Viewer)));
        let long = "x\n".repeat(LONGEST);
        let (who, role) = roles.of(&[uri(&long)]).expect("a role");
        assert_eq!((who.len(), role), (LONGEST, Role::Viewer));
        assert!(!who.contains('\n'));
    }

    #[test]
    fn names_are_written_as_openssl_writes_them() {
        for text in ["DNS:a.b", "URI:spiffe://a/b", "email:a@b"] {
            assert_eq!(Name::alternative(text).expect("a name").to_string(), text);
        }
        for text in [
            "",
            "a",
            "DNS:",
            "dns:a",
            "IP:10.0.0.1",
            "spiffe://lab/alice",
        ] {
            let error = Name::alternative(text).expect_err(text);
            assert!(error.contains(text), "{error}");
        }
    }
}
