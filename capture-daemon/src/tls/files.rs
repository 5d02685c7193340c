//! Certificates and key: read from files, checked, and made into a TLS configuration.

use std::{
    fmt, fs,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio_rustls::rustls::{
    self, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{
    certificate::{Validity, has_alternative_name},
    provider,
};

/// Paths of the certificates and the key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The daemon's certificate and its intermediate certificates.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificate authorities whose clients are accepted.
    pub client_ca: PathBuf,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} = {path:?}: {problem}")]
pub struct FilesError {
    /// The setting that names it.
    pub setting: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and the way out.
    pub problem: String,
}

/// Larger than a bundle of every public authority.
const LARGEST: u64 = 1 << 20;

/// The contents of the files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contents")
    }
}

/// What new connections use.
#[derive(Debug)]
pub(super) struct Material {
    /// Certificate and key.
    pub(super) identity: Arc<SingleCertAndKey>,
    /// Verifies client certificates.
    pub(super) clients: Arc<dyn ClientCertVerifier>,
    /// The validity of the certificate.
    pub(super) validity: Validity,
    /// Whether the certificate has a name that clients can compare.
    pub(super) has_alternative_name: bool,
}

impl CertificateFiles {
    /// Every problem with them, for a check of the configuration.
    #[must_use]
    pub fn check(&self) -> Vec<FilesError> {
        let mut wrong: Vec<_> = [
            self.certificate()
                .and_then(|pem| self.chain(&pem).map(|_| ())),
            self.key()
                .and_then(|pem| self.private_key(&pem).map(|_| ())),
            self.client_ca()
                .and_then(|pem| self.roots(&pem).map(|_| ())),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect();
        if wrong.is_empty() {
            wrong.extend(self.read().and_then(|all| self.material(&all)).err());
        }
        wrong
    }

    pub(super) fn read(&self) -> Result<Contents, FilesError> {
        Ok(Contents {
            certificate: self.certificate()?,
            key: self.key()?,
            client_ca: self.client_ca()?,
        })
    }

    fn certificate(&self) -> Result<Vec<u8>, FilesError> {
        read(&self.certificate).map_err(|problem| self.of_certificate(problem))
    }

    fn key(&self) -> Result<Vec<u8>, FilesError> {
        is_private(&self.key)
            .and_then(|()| read(&self.key))
            .map_err(|problem| self.of_key(problem))
    }

    fn client_ca(&self) -> Result<Vec<u8>, FilesError> {
        read(&self.client_ca).map_err(|problem| self.of_client_ca(problem))
    }

    fn chain(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FilesError> {
        certificates(pem).map_err(|problem| self.of_certificate(problem))
    }

    fn private_key(&self, pem: &[u8]) -> Result<PrivateKeyDer<'static>, FilesError> {
        private_key(pem).map_err(|problem| self.of_key(problem))
    }

    fn roots(&self, pem: &[u8]) -> Result<RootCertStore, FilesError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates(pem).map_err(|problem| self.of_client_ca(problem))? {
            roots.add(authority).map_err(|e| {
                self.of_client_ca(format!(
                    "one of its certificates is not a CA certificate: {e}"
                ))
            })?;
        }
        Ok(roots)
    }

    fn of_certificate(&self, problem: String) -> FilesError {
        error("tls.certificate", &self.certificate, problem)
    }

    fn of_key(&self, problem: String) -> FilesError {
        error("tls.key", &self.key, problem)
    }

    fn of_client_ca(&self, problem: String) -> FilesError {
        error("tls.client_ca", &self.client_ca, problem)
    }

    pub(super) fn material(&self, contents: &Contents) -> Result<Material, FilesError> {
        let chain = self.chain(&contents.certificate)?;
        let first = chain
            .first()
            .map(|first| first.as_ref())
            .unwrap_or_default();
        let validity = Validity::of(first).ok_or_else(|| {
            self.of_certificate("its first certificate cannot be parsed".to_owned())
        })?;
        let has_alternative_name = has_alternative_name(first);
        let key = self.private_key(&contents.key)?;
        let identity = CertifiedKey::from_der(chain, key, &provider()).map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => self.of_key(format!(
                "it does not belong to the certificate in {}; replace both",
                self.certificate.display()
            )),
            rustls::Error::InvalidCertificate(reason) => self.of_certificate(format!(
                "it cannot be used ({reason:?}); use an X.509 version 3 certificate with subjectAltName"
            )),
            other => self.of_key(format!(
                "it cannot be used ({other}); use an EC P-256, Ed25519 or RSA key"
            )),
        })?;

        let roots = self.roots(&contents.client_ca)?;
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|e| self.of_client_ca(e.to_string()))?;
        Ok(Material {
            identity: Arc::new(SingleCertAndKey::from(identity)),
            clients,
            validity,
            has_alternative_name,
        })
    }

    /// The problem with a certificate that is not valid now.
    pub(super) fn untimely(&self, material: &Material, now: SystemTime) -> Option<FilesError> {
        let problem = material.validity.trouble(now)?;
        Some(self.of_certificate(format!(
            "{problem}; clients will reject it: replace it with a valid one"
        )))
    }
}

fn error(setting: &'static str, path: &Path, problem: String) -> FilesError {
    FilesError {
        setting,
        path: path.to_owned(),
        problem,
    }
}

fn readable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file; create it or give another path".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; chown it to the user that the daemon runs as".to_owned()
        }
        _ => error.to_string(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| readable(&error))?;
    if !metadata.is_file() {
        return Err("not a regular file; give a file in PEM".to_owned());
    }
    let file = fs::File::open(path).map_err(|error| readable(&error))?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| readable(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("larger than {LARGEST} bytes; give a file in PEM"));
    }
    Ok(bytes)
}

/// Nobody else may read a key; its group may, which is how Kubernetes and some init systems give it.
fn is_private(path: &Path) -> Result<(), String> {
    let metadata = fs::metadata(path).map_err(|error| readable(&error))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o037 == 0 {
        return Ok(());
    }
    Err(format!(
        "others may read or change this key (mode {mode:04o}); run: chmod 600 {}",
        path.display()
    ))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificates.push(certificate.map_err(|error| format!("invalid PEM: {error}"))?);
    }
    if certificates.is_empty() {
        return Err("it contains no certificate (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(certificates)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let is_locked = String::from_utf8_lossy(pem).contains("ENCRYPTED");
        match error {
            _ if is_locked => "the key is encrypted with a passphrase; store it without one: \
                 openssl pkey -in OLD -out NEW"
                .to_owned(),
            Error::NoItemsFound => "it contains no key (-----BEGIN PRIVATE KEY-----)".to_owned(),
            error => format!("invalid PEM: {error}"),
        }
    })
}
