//! The settings of a store.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{
    key::{self, Template},
    place::Place,
};
use crate::route::Captures;

/// How much of an object is read back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// All of it; its SHA-256 is compared.
    #[default]
    Content,
    /// Only its size.
    Size,
}

/// Object storage, or a directory. Credentials come from the environment, as the tools of each provider know it, or from
/// a file.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// Where: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///DIRECTORY.
    #[arg(value_name = "URL")]
    pub url: String,
    /// Names of objects [default: {cluster}/{node}/{namespace}/{capture}/{date}/{file}].
    #[arg(long, value_name = "TEMPLATE")]
    pub key: Option<String>,
    /// URL of a server that speaks the protocol, if it is not the provider's own.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of an S3 bucket.
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Storage account, for az://.
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Allow HTTP without TLS: anyone on the path can read the packets.
    #[arg(long, default_value_t)]
    #[serde(default)]
    pub allow_http: bool,
    /// Authority that signed the server's certificate, PEM, in addition to the system's.
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// File with credentials: lines NAME=VALUE with the names of environment variables, for example
    /// AWS_ACCESS_KEY_ID.
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Server-side encryption of S3: AES256, aws:kms or aws:kms:dsse [default: as the bucket is set].
    #[arg(long, value_name = "KIND")]
    pub encryption: Option<String>,
    /// Key of aws:kms.
    #[arg(long, value_name = "ID")]
    pub kms_key: Option<String>,
    /// What is read back before a file counts as delivered.
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    pub verify: Verify,
    /// Tags of objects, where the store has them.
    #[arg(skip)]
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The captures whose files it gets besides those of captures that name it: all that name no sink, or only the
    /// named ones.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Captures::is_default")]
    pub captures: Captures,
}

/// Stores take ten.
const MOST_TAGS: usize = 10;
/// The limits of S3 for tags, in characters.
const LONGEST_TAG: (usize, usize) = (128, 256);

impl StoreSettings {
    /// What is wrong, each beginning with the name of the setting.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        match Place::parse(&self.url) {
            Err(reason) => wrong.push(format!("url: {reason}")),
            Ok(place) => {
                if let Err(reason) = self.template(&place) {
                    wrong.push(format!("key: {reason}"));
                }
            }
        }
        let kinds = ["AES256", "aws:kms", "aws:kms:dsse"];
        match self.encryption.as_deref() {
            Some(kind) if !kinds.contains(&kind) => {
                wrong.push(format!("encryption {kind:?}: use {}", kinds.join(", ")));
            }
            None | Some("AES256") if self.kms_key.is_some() => {
                wrong.push("kms_key: it needs encryption aws:kms or aws:kms:dsse".to_owned());
            }
            _ => {}
        }
        if self.tags.len() > MOST_TAGS {
            wrong.push(format!(
                "tags: {} are set; use at most {MOST_TAGS}",
                self.tags.len()
            ));
        }
        let (name, value) = LONGEST_TAG;
        let long =
            |(a, b): (&String, &String)| a.chars().count() > name || b.chars().count() > value;
        if self.tags.iter().any(long) {
            wrong.push(format!(
                "tags: use at most {name} characters for a name, {value} for a value"
            ));
        }
        wrong
    }

    /// The template of names, checked.
    pub(super) fn template(&self, place: &Place) -> Result<Template, String> {
        Template::parse(&place.prefix, self.key.as_deref().unwrap_or(key::DEFAULT))
    }
}
