//! The settings of a Malcolm.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use capture_types::Format as FileFormat;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{MalcolmSink, Way, form::Form, login::Login, name, sftp::Sftp, watched::Watched};
use crate::route::Captures;

/// The format of files for Malcolm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Classic pcap, which all parts of Malcolm understand.
    #[default]
    Pcap,
    /// pcapng: Arkime understands it only in part.
    Pcapng,
}

impl Format {
    pub(super) const fn of_file(self) -> FileFormat {
        match self {
            Self::Pcap => FileFormat::Pcap,
            Self::Pcapng => FileFormat::Pcapng,
        }
    }

    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
        }
    }
}

/// Malcolm, by its upload form, its SFTP server, or a directory that it watches.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MalcolmSettings {
    /// Where: https://HOST (upload form), sftp://USER@HOST:PORT/DIRECTORY or file:///DIRECTORY (watched).
    #[arg(value_name = "URL")]
    pub url: String,
    /// The format of the files.
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    pub format: Format,
    /// Tags in addition to cluster, node, namespace, capture and link type.
    #[arg(long = "tag", value_name = "TAG")]
    #[serde(default)]
    pub tags: Vec<String>,
    /// User of the upload form.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// File with the password [default: the variable MALCOLM_PASSWORD].
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Authority that signed the server's certificate, PEM, in addition to the system's.
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Allow HTTP without TLS: anyone on the path can read the packets and the password.
    #[arg(long, default_value_t)]
    #[serde(default)]
    pub allow_http: bool,
    /// Do not ask Malcolm whether it is ready.
    #[arg(long, default_value_t)]
    #[serde(default)]
    pub unasked: bool,
    /// Private key for SFTP.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Known host keys for SFTP; others are rejected.
    #[arg(long, value_name = "FILE")]
    pub known_hosts: Option<PathBuf>,
    /// Directory, below the one of the URL, where a file is until it is complete [default: tmp for SFTP,
    /// .capture-export for a watched directory].
    #[arg(long, value_name = "NAME")]
    pub staging: Option<String>,
    /// The captures whose files it gets besides those of captures that name it: all that name no sink, or only the
    /// named ones.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Captures::is_default")]
    pub captures: Captures,
}

/// More tags would make the name too long.
const MOST_TAGS: usize = 2;

impl MalcolmSettings {
    /// What is wrong, each beginning with the name of the setting.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(error) = self.way_without_files() {
            wrong.push(format!("{error:#}"));
        }
        if self.tags.len() > MOST_TAGS {
            wrong.push(format!(
                "tags: {} are set; use at most {MOST_TAGS}",
                self.tags.len()
            ));
        }
        for tag in &self.tags {
            if name::tag(tag).is_none() {
                wrong.push(format!("tags: {tag:?} has no letter and no digit"));
            }
        }
        wrong
    }

    /// Everything that can be checked without reading a file.
    fn way_without_files(&self) -> Result<()> {
        match self.url.split_once("://").map(|(scheme, _)| scheme) {
            Some("https" | "http") => {
                if self.url.starts_with("http:") && !self.allow_http {
                    bail!("url: use https://, or set allow_http");
                }
                if self.url.contains(['@', '?', '#']) {
                    bail!("url: it contains '@', '?' or '#': use user and password_file");
                }
            }
            Some("sftp") => drop(self.sftp()?),
            Some("file") => drop(self.watched()?),
            _ => {
                bail!("url: use https://HOST, sftp://USER@HOST:PORT/DIRECTORY or file:///DIRECTORY")
            }
        }
        Ok(())
    }

    fn sftp(&self) -> Result<Sftp> {
        let (key, known) = (self.key.as_deref(), self.known_hosts.as_deref());
        Sftp::new(&self.url, self.staging.as_deref(), key, known)
    }

    fn watched(&self) -> Result<Watched> {
        let path = self.url.strip_prefix("file://").unwrap_or_default();
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            bail!("url: it is no absolute path: use file:///DIRECTORY");
        }
        let staging = self.staging.as_deref();
        if staging.is_some_and(|name| name.contains('/') || name == ".." || name.is_empty()) {
            bail!("staging: use a name without slashes");
        }
        Ok(Watched::new(Path::new(path), staging))
    }

    /// Makes the sink. What an exporter that died has left in `directory` is removed.
    ///
    /// # Errors
    /// A setting is wrong, or a file that it names cannot be read.
    pub fn open(&self, directory: &Path) -> Result<MalcolmSink> {
        self.way_without_files()?;
        let way = match self.url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sftp") => Way::Sftp(self.sftp()?),
            Some("file") => Way::Watched(self.watched()?),
            _ => {
                let login = self.user.clone().map(|user| Login {
                    user,
                    file: self.password_file.clone(),
                });
                if let Some(login) = &login {
                    login.password().context("password_file")?;
                }
                let cacert = self.cacert.as_deref();
                Way::Form(Form::new(&self.url, login, cacert, !self.unasked)?)
            }
        };
        clear(directory);
        Ok(MalcolmSink {
            way,
            format: self.format,
            tags: self.tags.clone(),
            directory: directory.to_owned(),
        })
    }
}

/// Removes converted files that were left behind.
fn clear(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("converted-")
        {
            // One that stays only takes space.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
