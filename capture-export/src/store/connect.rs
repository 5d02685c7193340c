//! The client of a store, from its URL, the settings and the environment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, Checksum},
    azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem,
};

use super::{
    place::{Kind, Place},
    settings::StoreSettings,
};
use crate::redact::Redactor;

/// One part takes no longer, also over a slow line: 8 MiB at 28 KB/s.
const REQUEST: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(10);
/// A server that sends nothing for this long has hung.
const SILENCE: Duration = Duration::from_secs(60);
/// Larger than any file of credentials.
const LARGEST_CREDENTIALS: usize = 64 << 10;

/// A client, and what belongs to it.
pub(super) struct Connected {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) place: Place,
    pub(super) directory: Option<PathBuf>,
    pub(super) redactor: Redactor,
}

/// Makes the client of a store. Nothing is sent yet.
///
/// # Errors
/// A setting is wrong, or a file that it names cannot be read.
pub(super) fn connect(settings: &StoreSettings) -> Result<Connected> {
    let place = Place::parse(&settings.url).map_err(|reason| anyhow::anyhow!("url: {reason}"))?;
    let variables = variables(settings.credentials.as_deref())?;
    let secrets = variables.iter().filter(|(name, _)| is_secret(name));
    let redactor = Redactor::new(secrets.map(|(_, value)| value.clone()));
    let made = make(settings, &place, &variables);
    let (store, directory) = made.map_err(|error| {
        anyhow::anyhow!("{}: {}", place.root, redactor.line(&format!("{error:#}")))
    })?;
    Ok(Connected {
        store,
        place,
        directory,
        redactor,
    })
}

type Made = (Arc<dyn ObjectStore>, Option<PathBuf>);

fn make(
    settings: &StoreSettings,
    place: &Place,
    variables: &BTreeMap<String, String>,
) -> Result<Made> {
    let known = variables
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value));
    let endpoint = settings.endpoint.clone();
    Ok(match place.kind {
        Kind::Directory => {
            let directory = PathBuf::from(&place.name);
            // The directory itself must exist when a file is delivered: it may be mounted later.
            let store = LocalFileSystem::new().with_fsync(true);
            let store = object_store::prefix::PrefixStore::new(
                store,
                object_store::path::Path::from_absolute_path(&directory)?,
            );
            (Arc::new(store), Some(directory))
        }
        Kind::S3 => {
            let mut builder = AmazonS3Builder::new();
            for (name, value) in known.filter(|(name, _)| name.starts_with("aws_")) {
                if let Ok(key) = name.parse() {
                    builder = builder.with_config(key, value);
                }
            }
            builder = builder
                .with_bucket_name(&place.name)
                .with_checksum_algorithm(Checksum::SHA256)
                .with_client_options(client(settings, variables, "AWS_ALLOW_HTTP")?)
                .with_retry(retry());
            if let Some(region) = &settings.region {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(kind) = &settings.encryption {
                builder =
                    builder.with_config("aws_server_side_encryption".parse()?, encryption(kind));
            }
            if let Some(key) = &settings.kms_key {
                builder = builder.with_config("aws_sse_kms_key_id".parse()?, key);
            }
            (Arc::new(builder.build()?), None)
        }
        Kind::Google => {
            let mut builder = GoogleCloudStorageBuilder::new();
            for (name, value) in known.filter(|(name, _)| name.starts_with("google_")) {
                if let Ok(key) = name.parse() {
                    builder = builder.with_config(key, value);
                }
            }
            builder = builder
                .with_bucket_name(&place.name)
                .with_client_options(client(settings, variables, "GOOGLE_ALLOW_HTTP")?)
                .with_retry(retry());
            if let Some(endpoint) = endpoint {
                builder = builder.with_base_url(&endpoint);
            }
            (Arc::new(builder.build()?), None)
        }
        Kind::Azure => {
            let mut builder = MicrosoftAzureBuilder::new();
            for (name, value) in known.filter(|(name, _)| name.starts_with("azure_")) {
                if let Ok(key) = name.parse() {
                    builder = builder.with_config(key, value);
                }
            }
            builder = builder
                .with_container_name(&place.name)
                .with_client_options(client(settings, variables, "AZURE_ALLOW_HTTP")?)
                .with_retry(retry());
            if let Some(account) = &settings.account {
                builder = builder.with_account(account);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            (Arc::new(builder.build()?), None)
        }
    })
}

/// The name of a kind of encryption, as the client library has it.
fn encryption(kind: &str) -> &str {
    match kind {
        "aws:kms" => "sse:kms",
        "aws:kms:dsse" => "sse:kms:dsse",
        other => other,
    }
}

fn client(
    settings: &StoreSettings,
    variables: &BTreeMap<String, String>,
    allow: &str,
) -> Result<ClientOptions> {
    let allowed = variables
        .get(allow)
        .is_some_and(|value| value == "true" || value == "1");
    let mut options = ClientOptions::new()
        .with_allow_http(settings.allow_http || allowed)
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE);
    if let Some(path) = &settings.cacert {
        let text = std::fs::read(path).with_context(|| format!("cacert {}", path.display()))?;
        let certificates = Certificate::from_pem_bundle(&text)
            .with_context(|| format!("cacert {}", path.display()))?;
        if certificates.is_empty() {
            bail!("cacert {}: no certificate is in it", path.display());
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// Short: the task of the sink waits longer by itself, and says so.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 3,
        retry_timeout: Duration::from_secs(30),
    }
}

/// The environment, and above it the file of credentials.
fn variables(file: Option<&Path>) -> Result<BTreeMap<String, String>> {
    let of_providers = |name: &str| {
        ["AWS_", "AZURE_", "GOOGLE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let mut variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| of_providers(name))
        .collect();
    let Some(path) = file else {
        return Ok(variables);
    };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("credentials {}", path.display()))?;
    if text.len() > LARGEST_CREDENTIALS {
        bail!("credentials {}: it is larger than 64 KiB", path.display());
    }
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself may be a secret.
        let Some((name, value)) = line.split_once('=') else {
            bail!(
                "credentials {}: line {number} is not NAME=VALUE",
                path.display()
            );
        };
        let name = name.trim().to_ascii_uppercase();
        if !of_providers(&name) {
            bail!(
                "credentials {}: line {number}: the name begins with none of AWS_, AZURE_ and GOOGLE_",
                path.display()
            );
        }
        variables.insert(name, value.trim().trim_matches('"').to_owned());
    }
    Ok(variables)
}

fn is_secret(name: &str) -> bool {
    ["SECRET", "KEY", "TOKEN", "SAS", "PASSWORD"]
        .iter()
        .any(|word| name.contains(word))
        && !name.ends_with("_FILE")
}

#[cfg(test)]
mod tests {
    use super::variables;

    #[test]
    fn an_error_in_a_file_of_credentials_does_not_repeat_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        std::fs::write(&path, "# of the archive\nAWS_ACCESS_KEY_ID = \"a=b\"\n").unwrap();
        assert_eq!(variables(Some(&path)).unwrap()["AWS_ACCESS_KEY_ID"], "a=b");
        for text in ["s3cr3t", "PATH=s3cr3t"] {
            std::fs::write(&path, text).unwrap();
            let error = variables(Some(&path)).unwrap_err().to_string();
            assert!(
                error.contains("line 1") && !error.contains("s3cr3t"),
                "{error}"
            );
        }
    }
}
