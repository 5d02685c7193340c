//! The name in a client's certificate, as the daemons' audit logs have it.

use tonic::Request;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

/// The first name in the certificate of a request's sender: of subjectAltName, or else the common name.
pub(super) fn name<T>(request: &Request<T>) -> String {
    let certificates = request.peer_certs();
    let own = certificates.as_ref().and_then(|chain| chain.first());
    let name = own.and_then(|own| {
        let (_, certificate) = X509Certificate::from_der(own).ok()?;
        name_in(&certificate)
    });
    format!("cert:{}", name.as_deref().unwrap_or("without a name"))
}

fn name_in(certificate: &X509Certificate<'_>) -> Option<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.map(|extension| &extension.value.general_names);
    let mut names = names.into_iter().flatten();
    let alternative = names.find_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
        _ => None,
    });
    alternative.or_else(|| {
        let mut common = certificate.subject().iter_common_name();
        let name = common.find_map(|name| name.as_str().ok());
        name.map(|name| format!("CN:{name}"))
    })
}
