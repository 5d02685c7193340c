//! The settings of a search cluster. What a sink does not set comes from the environment, by the names that
//! other packet exporters use.

use std::{env, path::PathBuf, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    batch::Limits,
    bulk::Patience,
    client::{Client, ClientError, Credentials, SecretSource, Tls},
};
use crate::{
    documents::{Kinds, UnknownKind},
    route::Captures,
    secret::Secret,
};

/// A search cluster: Elasticsearch, OpenSearch, or what speaks their bulk API. Passwords, keys and tokens come
/// from files, or from ELASTIC_PASSWORD, ELASTIC_API_KEY and ELASTIC_TOKEN in the environment.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// URL of the cluster, with scheme and port; repeatable [env: ELASTIC_URL=, with commas
    /// between several].
    #[arg(long = "url", value_name = "URL")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Data stream, or alias of an index, that documents are written to [env: ELASTIC_INDEX=] [default: capture].
    #[arg(long, value_name = "NAME")]
    pub index: Option<String>,
    /// Kinds of documents: flow, dns, tls, http, finding, packet [default: flow,dns,tls,http,finding].
    #[arg(long, value_name = "KINDS")]
    pub documents: Option<String>,
    /// User, for basic authentication [env: ELASTIC_USER=].
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// File with the password of the user.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// File with an API key: the encoded form.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// File with a bearer token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Authority that signed the cluster's certificate, PEM, in addition to the system's [env: ELASTIC_CA_CERT=].
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Client certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Key of the client certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Allow HTTP without TLS to other hosts than this one: anyone on the path can read documents and
    /// credentials.
    #[arg(long, default_value_t)]
    #[serde(default)]
    pub allow_http: bool,
    /// Attempts that may fail one after the other, before the file is tried again later [env: ELASTIC_RETRIES=]
    /// [default: 10].
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// Wait after the first failed attempt; it doubles up to a minute [env: ELASTIC_RETRY_SLEEP=] [default: 1s].
    #[arg(long, value_name = "DURATION")]
    pub retry_sleep: Option<String>,
    /// Largest batch, bytes before compression [default: 1048576].
    #[arg(long, value_name = "BYTES")]
    pub batch_bytes: Option<usize>,
    /// Most documents of a batch [default: 2000].
    #[arg(long, value_name = "N")]
    pub batch_documents: Option<usize>,
    /// Requests at once [default: 3].
    #[arg(long, value_name = "N")]
    pub in_flight: Option<usize>,
    /// Bytes of rejected documents that are kept, in all [default: 67108864].
    #[arg(long, value_name = "BYTES")]
    pub dead_letter_bytes: Option<u64>,
    /// The captures whose files it gets besides those of captures that name it: all that name no sink, or only the
    /// named ones.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Captures::is_default")]
    pub captures: Captures,
}

/// Settings that were checked.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) urls: Vec<String>,
    pub(super) index: String,
    pub(super) kinds: Kinds,
    pub(super) credentials: Credentials,
    pub(super) tls: Tls,
    pub(super) patience: Patience,
    pub(super) limits: Limits,
    pub(super) in_flight: usize,
    pub(super) dead_letter_bytes: u64,
}

impl Checked {
    pub(super) fn client(&self) -> Result<Client, ClientError> {
        Client::new(&self.urls, self.credentials.clone(), &self.tls)
    }
}

/// More URLs are not those of one cluster.
const MOST_URLS: usize = 32;
/// Memory of batches: with the largest of each it stays below 64 MiB.
const BATCH_BYTES: std::ops::RangeInclusive<usize> = (64 << 10)..=(4 << 20);
const BATCH_DOCUMENTS: std::ops::RangeInclusive<usize> = 1..=10_000;
const IN_FLIGHT: std::ops::RangeInclusive<usize> = 1..=4;

/// Where values come from that a sink does not set.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The variables of this process; empty ones count as unset.
pub(super) fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

impl SearchSettings {
    /// What is wrong, each beginning with the name of the setting.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.check(&environment).err().unwrap_or_default()
    }

    /// Checks every value; all problems are reported at once, and no secret is in any.
    pub(super) fn check(&self, environment: Environment<'_>) -> Result<Checked, Vec<String>> {
        let mut wrong = Vec::new();
        let urls = self.urls(environment, &mut wrong);
        let index = self.index.clone().or_else(|| environment("ELASTIC_INDEX"));
        let index = index.unwrap_or_else(|| "capture".to_owned());
        if let Err(reason) = index_name(&index) {
            wrong.push(format!("index {index:?}: {reason}"));
        }
        let kinds = self
            .documents
            .as_deref()
            .map_or(Ok(Kinds::default()), str::parse);
        let kinds = kinds.unwrap_or_else(|error: UnknownKind| {
            wrong.push(format!("documents: {error}"));
            Kinds::default()
        });
        let credentials = self.credentials(environment, &mut wrong);
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => {
                wrong.push("cert, key: give both of them, or none".to_owned());
                None
            }
        };
        let authorities = self
            .cacert
            .clone()
            .or_else(|| environment("ELASTIC_CA_CERT").map(PathBuf::from));
        let retries = self.retries(environment, &mut wrong);
        let wait = self.retry_sleep(environment, &mut wrong);
        let mut bounded =
            |name: &str, value: Option<usize>, default, range: &std::ops::RangeInclusive<usize>| {
                let value = value.unwrap_or(default);
                if !range.contains(&value) {
                    let (least, most) = (range.start(), range.end());
                    wrong.push(format!("{name} {value}: give {least} to {most}"));
                }
                value
            };
        let limits = Limits {
            bytes: bounded("batch_bytes", self.batch_bytes, 1 << 20, &BATCH_BYTES),
            documents: bounded(
                "batch_documents",
                self.batch_documents,
                2_000,
                &BATCH_DOCUMENTS,
            ),
        };
        let in_flight = bounded("in_flight", self.in_flight, 3, &IN_FLIGHT);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Checked {
            urls,
            index,
            kinds,
            credentials,
            tls: Tls {
                authorities,
                identity,
            },
            patience: Patience { retries, wait },
            limits,
            in_flight,
            dead_letter_bytes: self.dead_letter_bytes.unwrap_or(64 << 20),
        })
    }

    fn urls(&self, environment: Environment<'_>, wrong: &mut Vec<String>) -> Vec<String> {
        let mut urls = self.urls.clone();
        if urls.is_empty()
            && let Some(list) = environment("ELASTIC_URL")
        {
            urls = list.split(',').map(|url| url.trim().to_owned()).collect();
        }
        if urls.is_empty() {
            wrong.push(
                "urls: give the URL of the cluster, here or in ELASTIC_URL, for example \
                 https://search.example:9200"
                    .to_owned(),
            );
        }
        if urls.len() > MOST_URLS {
            wrong.push(format!(
                "urls: at most {MOST_URLS} are used, these are {}",
                urls.len()
            ));
        }
        for (number, url) in urls.iter().enumerate() {
            if let Err(reason) = self.url(url) {
                // The URL itself may have a password in it.
                wrong.push(format!("urls: number {}: {reason}", number + 1));
            }
        }
        urls
    }

    fn url(&self, text: &str) -> Result<(), String> {
        let url = reqwest::Url::parse(text).map_err(|error| {
            format!("it is no URL: {error}; for example https://search.example:9200")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "it has a user or a password in it, which would be in every log: use user and \
                 password_file, or ELASTIC_USER and ELASTIC_PASSWORD"
                    .to_owned(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment: remove it".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        match url.scheme() {
            "https" => Ok(()),
            "http" if here || self.allow_http => Ok(()),
            "http" => Err(format!(
                "http://{host} is not encrypted: use https, or set allow_http"
            )),
            other => Err(format!("{other} is not known: use https")),
        }
    }

    fn credentials(&self, environment: Environment<'_>, wrong: &mut Vec<String>) -> Credentials {
        let source = |file: &Option<PathBuf>, name: &str| {
            let from_file = file.clone().map(SecretSource::File);
            from_file.or_else(|| {
                let secret = environment(name).map(Secret::new);
                secret.map(SecretSource::Environment)
            })
        };
        let user = self.user.clone().or_else(|| environment("ELASTIC_USER"));
        let password = source(&self.password_file, "ELASTIC_PASSWORD");
        let key = source(&self.api_key_file, "ELASTIC_API_KEY");
        let token = source(&self.token_file, "ELASTIC_TOKEN");
        match (user, password, key, token) {
            (None, None, None, None) => Credentials::None,
            (Some(user), Some(password), None, None) if !user.contains(':') => {
                Credentials::Basic { user, password }
            }
            (None, None, Some(key), None) => Credentials::ApiKey(key),
            (None, None, None, Some(token)) => Credentials::Bearer(token),
            (Some(user), ..) if user.contains(':') => {
                wrong.push(format!("user {user:?}: a user has no colon"));
                Credentials::None
            }
            _ => {
                wrong.push(
                    "user, password_file, api_key_file, token_file: give a user with its password, or an API key, \
                     or a token; ELASTIC_USER, ELASTIC_PASSWORD, ELASTIC_API_KEY and ELASTIC_TOKEN count too"
                        .to_owned(),
                );
                Credentials::None
            }
        }
    }

    fn retries(&self, environment: Environment<'_>, wrong: &mut Vec<String>) -> u32 {
        if let Some(retries) = self.retries {
            return retries;
        }
        let Some(text) = environment("ELASTIC_RETRIES") else {
            return 10;
        };
        text.parse().unwrap_or_else(|_| {
            wrong.push(format!("ELASTIC_RETRIES {text:?}: give a number"));
            10
        })
    }

    /// A duration; a number alone is seconds, as other exporters have it.
    fn retry_sleep(&self, environment: Environment<'_>, wrong: &mut Vec<String>) -> Duration {
        let text = self.retry_sleep.clone();
        let Some(text) = text.or_else(|| environment("ELASTIC_RETRY_SLEEP")) else {
            return Duration::from_secs(1);
        };
        let seconds = text.parse::<u32>().ok().map(u64::from);
        let duration = seconds
            .map(Duration::from_secs)
            .or_else(|| humantime::parse_duration(&text).ok());
        duration
            .filter(|duration| *duration <= Duration::from_secs(600))
            .unwrap_or_else(|| {
                wrong.push(format!(
                    "retry_sleep {text:?}: give a duration of at most 10m, such as 1s"
                ));
                Duration::from_secs(1)
            })
    }
}

/// The rules of both clusters for names of indices and data streams.
fn index_name(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    if name.is_empty() || name.len() > 200 || !name.bytes().all(allowed) {
        return Err("use 1 to 200 of a-z, 0-9, '-', '_' and '.'");
    }
    if name.starts_with(['-', '_', '.']) {
        return Err("it has to begin with a letter or a digit");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Credentials, SearchSettings};
    use crate::documents::Kind;

    const NONE: fn(&str) -> Option<String> = |_| None;

    fn with_url(url: &str) -> SearchSettings {
        SearchSettings {
            urls: vec![url.to_owned()],
            ..SearchSettings::default()
        }
    }

    #[test]
    fn known_environment_names_fill_what_is_not_set() {
        let environment = |name: &str| {
            let value = match name {
                "ELASTIC_URL" => "https://a:9200, https://b:9200",
                "ELASTIC_INDEX" => "pcap",
                "ELASTIC_USER" => "elastic",
                "ELASTIC_PASSWORD" => "s3cret",
                "ELASTIC_CA_CERT" => "/ca.pem",
                "ELASTIC_RETRIES" => "3",
                "ELASTIC_RETRY_SLEEP" => "2",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let checked = SearchSettings::default().check(&environment).unwrap();
        assert_eq!(checked.urls, ["https://a:9200", "https://b:9200"]);
        assert_eq!(checked.index, "pcap");
        assert_eq!(checked.patience.retries, 3);
        assert_eq!(checked.patience.wait, Duration::from_secs(2));
        assert!(matches!(checked.credentials, Credentials::Basic { .. }));
        assert!(checked.tls.authorities.is_some());
        assert!(!checked.kinds.has(Kind::Packet));
        assert!(!format!("{checked:?}").contains("s3cret"));
        let set = SearchSettings {
            index: Some("mine".to_owned()),
            retries: Some(1),
            ..with_url("http://127.0.0.1:9200")
        };
        let checked = set.check(&environment).unwrap();
        assert_eq!(
            (checked.index.as_str(), checked.patience.retries),
            ("mine", 1)
        );
        assert_eq!(checked.urls.len(), 1);
    }

    #[test]
    fn every_wrong_value_is_named_at_once_and_no_password_is_printed() {
        let settings = SearchSettings {
            index: Some("Capture*".to_owned()),
            documents: Some("flow,all".to_owned()),
            cert: Some("c.pem".into()),
            user: Some("a".to_owned()),
            retry_sleep: Some("soon".to_owned()),
            batch_bytes: Some(1),
            in_flight: Some(100),
            ..with_url("https://me:s3cret@search.example")
        };
        let wrong = settings.check(&NONE).unwrap_err();
        for word in [
            "index",
            "documents",
            "cert, key",
            "user, password_file",
            "retry_sleep",
            "batch_bytes",
            "in_flight",
            "urls: number 1",
        ] {
            let named = wrong.iter().any(|one| one.starts_with(word));
            assert!(named, "{word}: {wrong:?}");
        }
        assert!(!wrong.join("\n").contains("s3cret"));
    }

    #[test]
    fn http_is_allowed_to_this_host_and_on_request_only() {
        for (url, allowed) in [
            ("http://127.0.0.1:9200", true),
            ("http://localhost", true),
            ("http://[::1]:9200", true),
            ("http://search.example:9200", false),
            ("https://search.example:9200", true),
            ("ftp://search.example", false),
            ("search.example:9200", false),
            ("https://search.example/?pretty", false),
        ] {
            assert_eq!(with_url(url).check(&NONE).is_ok(), allowed, "{url}");
        }
        let settings = SearchSettings {
            allow_http: true,
            ..with_url("http://search.example:9200")
        };
        assert!(settings.check(&NONE).is_ok());
    }
}
