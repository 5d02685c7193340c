//! cert-manager as far as the chart needs it: it reads Certificates and Issuers, and writes the Secrets that they ask for.
//! Its own definitions are replaced by ones that keep every field.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use capture_tests::certificates::{Authority, Purpose};
use serde_json::{Value, json};

use crate::lab::{Lab, NAMESPACE};

/// The stand-in, with the authority of the chart's Certificate.
pub(crate) struct CertManager<'a> {
    lab: &'a Lab,
    authority: Authority,
}

impl<'a> CertManager<'a> {
    pub(crate) fn install(lab: &'a Lab) -> Result<Self> {
        lab.define("cert-manager.io", "Certificate")?;
        lab.define("cert-manager.io", "Issuer")?;
        Ok(Self {
            lab,
            authority: Authority::new("capture-ca")?,
        })
    }

    fn all(&self, kind: &str) -> Result<Vec<Value>> {
        let words = ["-n", NAMESPACE, "get", &format!("{kind}.cert-manager.io")];
        let list = self.lab.cluster.kubectl_json(&words)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Issues each certificate anew. Returns the Secrets' names, none while Helm has not yet created everything.
    pub(crate) fn issue(&self) -> Result<Vec<String>> {
        let (certificates, issuers) = (self.all("certificates")?, self.all("issuers")?);
        let of_authority = certificates.iter().find(|one| one["spec"]["isCA"] == true);
        if certificates.len() < 3 || issuers.len() < 2 {
            return Ok(Vec::new());
        }
        let authority = &of_authority.context("no Certificate is an authority's")?["spec"];
        let issuer = |of: &Value| {
            let reference = &of["issuerRef"];
            ensure!(reference["kind"] == "Issuer", "{reference}");
            let found = issuers
                .iter()
                .find(|one| one["metadata"]["name"] == reference["name"]);
            Ok(&found.with_context(|| format!("no {reference}"))?["spec"])
        };
        ensure!(issuer(authority)?["selfSigned"].is_object());
        let mut issued = Vec::new();
        for certificate in &certificates {
            let spec = &certificate["spec"];
            if spec["isCA"] == true {
                continue;
            }
            let by = issuer(spec)?;
            ensure!(
                by["ca"]["secretName"] == authority["secretName"],
                "{by} does not sign with the authority's key"
            );
            issued.push(self.issue_one(spec)?);
        }
        Ok(issued)
    }

    fn issue_one(&self, spec: &Value) -> Result<String> {
        let texts = |field: &str| -> Result<Vec<String>> {
            serde_json::from_value(spec[field].clone())
                .with_context(|| format!("{field} of {spec}"))
        };
        ensure!(spec["privateKey"]["algorithm"] == "ECDSA" && spec["privateKey"]["size"] == 256);
        let purpose = |usage: &String| match usage.as_str() {
            "server auth" => Ok(Purpose::ServerAuth),
            "client auth" => Ok(Purpose::ClientAuth),
            other => bail!("usage {other}"),
        };
        let purposes: Vec<Purpose> = texts("usages")?
            .iter()
            .map(purpose)
            .collect::<Result<_>>()?;
        let new = self.authority.for_names(&texts("dnsNames")?, purposes)?;
        let name = spec["secretName"].as_str().context("no secretName")?;
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "stringData": {
                "tls.crt": new.certificate,
                "tls.key": traditional(&new.key)?,
                "ca.crt": self.authority.pem(),
            },
        });
        self.lab.cluster.apply(&secret.to_string())?;
        Ok(name.to_owned())
    }
}

/// A key in the encoding (SEC 1) that cert-manager uses unless a Certificate wants another.
fn traditional(key: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("key.pem");
    fs::write(&file, key)?;
    let output = Command::new("openssl")
        .args(["ec", "-in"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .context("starting openssl")?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.starts_with("-----BEGIN EC PRIVATE KEY-----"), "{text}");
    Ok(text)
}
