//! Certificates of authorities that exist only in one test.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType, date_time_ymd,
};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

pub use rcgen::ExtendedKeyUsagePurpose as Purpose;

/// The validity of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// Now.
    Now,
    /// For a day in the year 2001.
    Past,
    /// In the year 2200.
    Future,
}

/// A certificate with its key, in PEM.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// Paths of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// Creates an authority with this name.
    pub fn new(name: &str) -> Result<Self> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.distinguished_name = named(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = parameters.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(parameters, key),
            pem,
        })
    }

    /// Its certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a daemon that clients reach as `localhost` or 127.0.0.1.
    pub fn node(&self, time: Time) -> Result<Credentials> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = named("node");
        parameters
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        self.sign(parameters, time)
    }

    /// A certificate for a client with this CN, and this URI if it is not empty.
    pub fn client(&self, name: &str, uri: &str, time: Time) -> Result<Credentials> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.distinguished_name = named(name);
        if !uri.is_empty() {
            let uri = uri.try_into().context("a URI in ASCII")?;
            parameters.subject_alt_names.push(SanType::URI(uri));
        }
        parameters
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(parameters, time)
    }

    /// A certificate for these DNS names and purposes, without a subject.
    pub fn for_names(&self, names: &[String], purposes: Vec<Purpose>) -> Result<Credentials> {
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.extended_key_usages = purposes;
        self.sign(parameters, Time::Now)
    }

    fn sign(&self, mut parameters: CertificateParams, time: Time) -> Result<Credentials> {
        let (from, to) = match time {
            Time::Now => (date_time_ymd(2001, 1, 1), date_time_ymd(2200, 1, 1)),
            Time::Past => (date_time_ymd(2001, 1, 1), date_time_ymd(2001, 1, 2)),
            Time::Future => (date_time_ymd(2200, 1, 1), date_time_ymd(2200, 1, 2)),
        };
        (parameters.not_before, parameters.not_after) = (from, to);
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Credentials {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

impl Credentials {
    /// Writes `NAME.pem` and `NAME.key`, each replaced as a whole.
    pub fn write(&self, directory: &Path, name: &str) -> Result<Paths> {
        let paths = Paths {
            certificate: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        };
        replace(&paths.key, &self.key)?;
        replace(&paths.certificate, &self.certificate)?;
        Ok(paths)
    }
}

/// Replaces a file by one that only its owner can read.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    // Otherwise the mode of a file left by a test would be kept.
    let _ = fs::remove_file(&new);
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new);
    std::io::Write::write_all(&mut file?, text.as_bytes())?;
    fs::rename(&new, path).with_context(|| format!("replacing {}", path.display()))
}
