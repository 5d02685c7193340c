//! The kinds of documents, and which of them are wanted.

use std::{fmt, str::FromStr};

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A flow, as far as it is in one file.
    Flow,
    /// A DNS question and its answer.
    Dns,
    /// A TLS handshake.
    Tls,
    /// An HTTP request and its response.
    Http,
    /// Something conspicuous.
    Finding,
    /// A packet.
    Packet,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Flow,
        Self::Dns,
        Self::Tls,
        Self::Http,
        Self::Finding,
        Self::Packet,
    ];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Finding => "finding",
            Self::Packet => "packet",
        }
    }

    /// The value of `event.dataset`.
    pub(super) const fn dataset(self) -> &'static str {
        match self {
            Self::Flow => "capture.flow",
            Self::Dns => "capture.dns",
            Self::Tls => "capture.tls",
            Self::Http => "capture.http",
            Self::Finding => "capture.finding",
            Self::Packet => "capture.packet",
        }
    }

    /// Its letter in names of documents.
    pub(super) const fn letter(self) -> u8 {
        match self {
            Self::Flow => b'f',
            Self::Dns => b'd',
            Self::Tls => b't',
            Self::Http => b'h',
            Self::Finding => b'v',
            Self::Packet => b'p',
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The kinds that are wanted: a list such as `flow,dns,tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Whether documents of this kind are wanted.
    #[must_use]
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether any kind is wanted that the analysis of flows has to find.
    pub(super) const fn needs_analysis(self) -> bool {
        self.0 & !Kind::Packet.bit() != 0
    }
}

/// Every kind but packets, which are many.
impl Default for Kinds {
    fn default() -> Self {
        let all = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Packet);
        Self(all.fold(0, |bits, kind| bits | kind.bit()))
    }
}

/// A name that is not that of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of document: give a list of flow, dns, tls, http, finding and packet")]
pub struct UnknownKind(String);

impl FromStr for Kinds {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let mut bits = 0;
        for name in text.split(',').map(str::trim) {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let kind = kind.ok_or_else(|| UnknownKind(name.chars().take(64).collect()))?;
            bits |= kind.bit();
        }
        Ok(Self(bits))
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = Kind::ALL.into_iter().filter(|kind| self.has(*kind));
        let names: Vec<&str> = wanted.map(Kind::name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Kinds};

    #[test]
    fn a_list_of_kinds_is_read_and_printed_and_an_unknown_one_is_named() {
        let kinds: Kinds = "dns, packet".parse().unwrap();
        assert!(kinds.has(Kind::Packet) && kinds.has(Kind::Dns) && !kinds.has(Kind::Flow));
        assert_eq!(kinds.to_string(), "dns,packet");
        assert_eq!(Kinds::default().to_string(), "flow,dns,tls,http,finding");
        let error = "flow,packets".parse::<Kinds>().unwrap_err().to_string();
        assert!(
            error.contains("\"packets\"") && error.contains("finding"),
            "{error}"
        );
        assert!("".parse::<Kinds>().is_err());
    }
}
