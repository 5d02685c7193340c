//! Certificates and configurations with which the parts of a cluster authenticate each other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use crate::certificates::replace;

/// The cluster's authority, and the directory of signed certificates.
pub(super) struct Keys {
    issuer: Issuer<'static, KeyPair>,
    run: PathBuf,
}

/// The owner of a certificate.
pub(super) enum Use<'a> {
    /// A server with these names and addresses.
    Server(&'a [String]),
    Client,
}

impl Keys {
    pub(super) fn make(run: &Path, cluster: &str) -> Result<Self> {
        fs::create_dir_all(run.join("pki")).context("creating the directory of certificates")?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.distinguished_name = subject(&format!("{cluster}-ca"), "");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?.pem();
        let keys = Self {
            run: run.to_owned(),
            issuer: Issuer::new(parameters, KeyPair::from_pem(&key.serialize_pem())?),
        };
        replace(&keys.path("ca.crt"), &certificate)?;
        replace(&keys.path("ca.key"), &key.serialize_pem())?;
        // The key that signs the tokens of service accounts.
        let accounts = KeyPair::generate()?;
        replace(&keys.path("sa.key"), &accounts.serialize_pem())?;
        replace(&keys.path("sa.pub"), &accounts.public_key_pem())?;
        Ok(keys)
    }

    /// A file below the directory of certificates.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.run.join("pki").join(file)
    }

    /// Writes `NAME.crt` and `NAME.key`.
    pub(super) fn sign(&self, name: &str, user: &str, group: &str, of: &Use<'_>) -> Result<()> {
        let (names, purpose) = match of {
            Use::Server(names) => (names.to_vec(), ExtendedKeyUsagePurpose::ServerAuth),
            Use::Client => (Vec::new(), ExtendedKeyUsagePurpose::ClientAuth),
        };
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = subject(user, group);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?.pem();
        replace(&self.path(&format!("{name}.crt")), &certificate)?;
        replace(&self.path(&format!("{name}.key")), &key.serialize_pem())
    }

    /// Writes `NAME.kubeconfig` for a client certificate of this user and group.
    pub(super) fn configure(
        &self,
        name: &str,
        user: &str,
        group: &str,
        server: &str,
    ) -> Result<()> {
        self.sign(name, user, group, &Use::Client)?;
        let configuration = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": "default"}}],
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{server}"),
                "certificate-authority": self.path("ca.crt"),
            }}],
            "users": [{"name": name, "user": {
                "client-certificate": self.path(&format!("{name}.crt")),
                "client-key": self.path(&format!("{name}.key")),
            }}],
        });
        let file = self.run.join(format!("{name}.kubeconfig"));
        replace(&file, &configuration.to_string())
    }
}

fn subject(user: &str, group: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if !group.is_empty() {
        subject.push(DnType::OrganizationName, group);
    }
    subject.push(DnType::CommonName, user);
    subject
}
