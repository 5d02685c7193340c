//! Verifies clients: the issuer and the validity of the certificate, and then the role.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::{
    certificate::names,
    roles,
    roles::{Name, Roles},
};
use capture_types::Role;

/// The verifier of one connection, which remembers its client.
#[derive(Debug)]
pub(crate) struct Verifier {
    chain: Arc<dyn ClientCertVerifier>,
    roles: Arc<Roles>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    claimed: Option<String>,
    proved: Option<Proved>,
}

/// Who a client has proved to be, and what it may do.
#[derive(Debug, Clone)]
pub(crate) struct Proved {
    pub(crate) identity: String,
    pub(crate) role: Role,
    names: Vec<Name>,
}

impl Proved {
    /// Whether it is the same client with the same role by these roles.
    pub(super) fn stands(&self, roles: &Roles) -> bool {
        let now = roles.of(&self.names);
        now.is_some_and(|(identity, role)| identity == self.identity && role == self.role)
    }
}

impl Verifier {
    pub(super) fn new(chain: Arc<dyn ClientCertVerifier>, roles: Arc<Roles>) -> Self {
        Self {
            chain,
            roles,
            found: Mutex::default(),
        }
    }

    /// The name that the client presented, which may be unproved.
    pub(crate) fn claimed(&self) -> Option<String> {
        self.found().claimed.clone()
    }

    /// Who the client is and what it may do, after the handshake.
    pub(crate) fn proved(&self) -> Option<Proved> {
        self.found().proved.clone()
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // What authorities there are is nobody's business who has no certificate.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let names = names(end_entity);
        self.found().claimed = Some(roles::shown(&names));
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        let Some((identity, role)) = self.roles.of(&names) else {
            // The client is told access_denied (RFC 8446, 6.2).
            return Err(CertificateError::ApplicationVerificationFailure.into());
        };
        self.found().proved = Some(Proved {
            identity,
            role,
            names,
        });
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
