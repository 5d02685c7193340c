//! What is read from a certificate besides its key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{FromDer as _, ParsedExtension},
};

use super::Name;

/// The names in it: those of subjectAltName first, then common names. Empty if it has none or is
/// no certificate.
pub(super) fn names(der: &[u8]) -> Vec<Name> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension()
        else {
            continue;
        };
        for name in &alternative.general_names {
            match name {
                GeneralName::DNSName(name) => names.push(Name::Dns((*name).to_owned())),
                GeneralName::URI(name) => names.push(Name::Uri((*name).to_owned())),
                GeneralName::RFC822Name(name) => names.push(Name::Email((*name).to_owned())),
                _ => {}
            }
        }
    }
    let common = certificate.subject().iter_common_name();
    names.extend(
        common
            .filter_map(|name| name.as_str().ok())
            .map(|name| Name::Common(name.to_owned())),
    );
    names
}

/// Whether there is a name that clients compare with the host they called; the subject's name is not compared.
pub(super) fn has_alternative_name(der: &[u8]) -> bool {
    X509Certificate::from_der(der)
        .is_ok_and(|(_, certificate)| matches!(certificate.subject_alternative_name(), Ok(Some(_))))
}

/// The validity of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    /// Seconds since 1970-01-01 UTC.
    from: i64,
    /// Inclusive.
    to: i64,
}

impl Validity {
    /// The validity of a certificate in DER.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            from: validity.not_before.timestamp(),
            to: validity.not_after.timestamp(),
        })
    }

    /// Why the certificate is not valid at this time.
    pub(super) fn trouble(self, now: SystemTime) -> Option<String> {
        let now = seconds(now);
        if now > self.to {
            Some(format!("it has expired on {}", date(self.to)))
        } else if now < self.from {
            Some(format!(
                "it is not valid before {}; is this node's clock right?",
                date(self.from)
            ))
        } else {
            None
        }
    }

    /// Whether the certificate expires within this time.
    pub(super) fn ends_within(self, time: Duration, now: SystemTime) -> bool {
        self.to < seconds(now + time)
    }

    /// Its last second, as text.
    pub(super) fn end(self) -> String {
        date(self.to)
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The last second that humantime can write: 9999-12-31T23:59:59Z, which RFC 5280 (4.1.2.5) uses for
/// certificates without an end.
const LAST: u64 = 253_402_300_799;

fn date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_good_from_its_first_second_to_its_last() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let validity = Validity { from: 100, to: 200 };
        assert!(validity.trouble(at(99)).is_some());
        assert_eq!(validity.trouble(at(100)), None);
        assert_eq!(validity.trouble(at(200)), None);
        let expired = validity.trouble(at(201)).expect("expired");
        assert!(expired.contains("1970-01-01T00:03:20Z"), "{expired}");
        assert!(validity.ends_within(Duration::from_secs(60), at(150)));
        assert!(!validity.ends_within(Duration::from_secs(50), at(150)));
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        for bytes in [&b""[..], b"\x30\x03\x02\x01\x01", &[0x30; 100]] {
            assert!(names(bytes).is_empty());
            assert_eq!(Validity::of(bytes), None);
        }
    }
}
