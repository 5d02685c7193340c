//! The server's certificate. A changed file is used without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context as _, Result, ensure};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// The files of certificate and key, and the configuration last made from them.
pub(super) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    last: Option<(Times, Arc<ServerConfig>)>,
}

type Times = [Option<SystemTime>; 2];

impl Certificate {
    pub(super) const fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate,
            key,
            last: None,
        }
    }

    /// The configuration, made again when a file has changed. If that fails, the last one stays.
    pub(super) fn config(&mut self) -> Result<Arc<ServerConfig>> {
        let times = [&self.certificate, &self.key]
            .map(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
        if let Some((of, config)) = &self.last
            && *of == times
        {
            return Ok(Arc::clone(config));
        }
        match (self.make(), &self.last) {
            (Ok(config), _) => {
                let config = Arc::new(config);
                self.last = Some((times, Arc::clone(&config)));
                Ok(config)
            }
            (Err(error), Some((_, config))) => {
                tracing::warn!("the last certificate stays in use: {error:#}");
                let config = Arc::clone(config);
                // Told once per change.
                self.last = Some((times, Arc::clone(&config)));
                Ok(config)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn make(&self) -> Result<ServerConfig> {
        let certificates = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .with_context(|| format!("{} holds no private key in PEM", self.key.display()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let found = found.with_context(|| format!("{} holds damaged PEM", path.display()))?;
    ensure!(
        !found.is_empty(),
        "{} holds no certificate in PEM",
        path.display()
    );
    Ok(found)
}
