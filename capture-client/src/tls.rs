//! Certificate errors, with what to do about them.

use std::error::Error as StdError;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

use crate::ClientError;

/// Why node and client reject each other, if that is the cause of an error.
pub(super) fn refusal(error: &(dyn StdError + 'static)) -> Option<ClientError> {
    let Some(found) = find(error) else {
        return received_alert(error)
            .and_then(by_node)
            .map(ClientError::Denied);
    };
    Some(match found {
        Error::AlertReceived(alert) => ClientError::Denied(by_node(*alert)?),
        Error::InvalidCertificate(reason) => ClientError::Tls(by_client(reason)),
        Error::InvalidMessage(_) => {
            ClientError::Tls("the node does not speak TLS here: is it the right port?".to_owned())
        }
        _ => return None,
    })
}

/// Finds it in wrapped errors, including system errors, which do not report it as their source.
fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// An alert of which only the text is left: HTTP/2 keeps no more of an underlying error.
fn received_alert(error: &(dyn StdError + 'static)) -> Option<AlertDescription> {
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let alert = ABOUT_CERTIFICATES
            .into_iter()
            .find(|alert| text.contains(&Error::AlertReceived(*alert).to_string()));
        if alert.is_some() {
            return alert;
        }
        next = error.source();
    }
    None
}

const ABOUT_CERTIFICATES: [AlertDescription; 9] = [
    AlertDescription::CertificateRequired,
    AlertDescription::CertificateExpired,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateUnknown,
    AlertDescription::DecryptError,
];

/// The node's verdict on the client's certificate (RFC 8446, 6.2).
fn by_node(alert: AlertDescription) -> Option<String> {
    let why = match alert {
        AlertDescription::CertificateRequired => "it requires one, and there was none".to_owned(),
        AlertDescription::CertificateExpired => {
            "it has expired, or is not valid yet; give a valid cert and key".to_owned()
        }
        AlertDescription::UnknownCA => {
            "it is not from an authority that the node trusts (tls.client_ca in its configuration)"
                .to_owned()
        }
        AlertDescription::AccessDenied => {
            "the node has no role for its names; a [[client]] in the daemon's configuration \
             gives it one"
                .to_owned()
        }
        alert if ABOUT_CERTIFICATES.contains(&alert) => format!("{alert:?}"),
        _ => return None,
    };
    Some(format!("the node rejects this client's certificate: {why}"))
}

/// Formats names that are given as `DnsName("localhost")`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name
            .split_once('(')
            .map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    let names: Vec<_> = presented.iter().map(bare).collect();
    if names.is_empty() {
        "no name".to_owned()
    } else {
        names.join(", ")
    }
}

/// What is wrong with the node's certificate.
fn by_client(reason: &CertificateError) -> String {
    let why = match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; it has to be renewed on the node".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; is this machine's clock right?".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it is not signed by the authority in cacert; give the one that signed it".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!(
                "it is for {} and not for the name that was called; give one that is in it as \
                 tls-server-name",
                names(presented)
            )
        }
        CertificateError::NotValidForName => {
            "it is for another name; give one that is in it as tls-server-name".to_owned()
        }
        other => other.to_string(),
    };
    format!("the node's certificate is rejected: {why}")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn who_refuses_whom_and_why_is_found_however_deep_it_is_wrapped() {
        let wrapped = |error: Error| io::Error::other(io::Error::other(error));
        let refusal_of = |error: Error| refusal(&wrapped(error));
        let denied = refusal_of(Error::AlertReceived(AlertDescription::AccessDenied));
        assert!(
            matches!(&denied, Some(ClientError::Denied(text)) if text.contains("[[client]]")),
            "{denied:?}"
        );
        let unknown = refusal_of(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(
            matches!(&unknown, Some(ClientError::Tls(text)) if text.contains("cacert")),
            "{unknown:?}"
        );
        let text_alone = io::Error::other("connection error: received fatal alert: UnknownCA");
        let unknown = refusal(&text_alone);
        assert!(
            matches!(&unknown, Some(ClientError::Denied(text)) if text.contains("client_ca")),
            "{unknown:?}"
        );
        let presented = [
            "DnsName(\"localhost\")".to_owned(),
            "IpAddress(::1)".to_owned(),
        ];
        assert_eq!(names(&presented), "localhost, ::1");
        let closed = refusal_of(Error::AlertReceived(AlertDescription::CloseNotify));
        assert!(closed.is_none(), "{closed:?}");
        assert!(refusal(&io::Error::other("a broken cable")).is_none());
    }
}
