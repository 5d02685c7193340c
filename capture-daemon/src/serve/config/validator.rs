//! Checks one setting after the other, so that all errors are reported together.

use std::{fmt, net::SocketAddr, path::PathBuf};

use super::{clients, layers::Layers};
use crate::{log, tls};
use capture_types::{Role, values};

/// Reads values from the layers and collects all errors.
pub(super) struct Validator<'a> {
    pub(super) layers: &'a Layers,
    pub(super) wrong: Vec<String>,
}

impl<'a> Validator<'a> {
    pub(super) const fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            wrong: Vec::new(),
        }
    }

    pub(super) fn wrong(&mut self, key: &str, reason: impl fmt::Display) {
        let (value, origin) = (self.layers.text(key), self.layers.origin(key));
        self.wrong
            .push(format!("{origin}: {key} = {value:?}: {reason}"));
    }

    pub(super) fn take<T, E: fmt::Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.layers.text(key)) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(key, error);
                None
            }
        }
    }

    /// `None` if the text is empty.
    pub(super) fn maybe<T, E: fmt::Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.layers.text(key).is_empty() {
            None
        } else {
            self.take(key, parse)
        }
    }

    pub(super) fn path(&mut self, key: &str) -> PathBuf {
        let path = PathBuf::from(self.layers.text(key));
        if !path.is_absolute() {
            self.wrong(key, "give an absolute path");
        }
        path
    }

    /// TCP for clients with certificates, if configured. Roles are checked in any case.
    pub(super) fn tls(&mut self, clients: &[toml::Value]) -> Option<tls::TlsSettings> {
        let listen = self.maybe("listen", address);
        let default = self.maybe("tls.default_role", role);
        let mut entries = Vec::new();
        for (at, client) in clients.iter().enumerate() {
            match clients::entry(client) {
                Ok(entry) => entries.push(entry),
                Err(error) => self.wrong.push(format!("client {}: {error}", at + 1)),
            }
        }
        let listen = listen?;
        let mut named = |key| {
            if self.layers.text(key).is_empty() {
                self.wrong(
                    key,
                    "clients that come to listen need it: name a file in PEM",
                );
                return None;
            }
            Some(self.path(key))
        };
        let (certificate, key) = (named("tls.certificate"), named("tls.key"));
        let client_ca = named("tls.client_ca");
        let roles = tls::Roles::new(entries, default);
        if roles.is_empty() && clients.is_empty() {
            self.wrong(
                "listen",
                "every client would be refused: add [[client]] with cn or san and role to the \
                 configuration file, or set tls.default_role",
            );
        }
        let files = tls::CertificateFiles {
            certificate: certificate?,
            key: key?,
            client_ca: client_ca?,
        };
        for error in files.check() {
            self.wrong(error.setting, error.problem);
        }
        Some(tls::TlsSettings {
            listen,
            files,
            roles: roles.into(),
        })
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &str, least: u64) -> Option<T> {
        let number = self.layers.number(key);
        let fits = T::try_from(number).ok().filter(|_| number >= least);
        if fits.is_none() {
            let origin = self.layers.origin(key);
            self.wrong.push(format!(
                "{origin}: {key} = {number}: give a number from {least} on"
            ));
        }
        fits
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "give ADDRESS:PORT, as in 127.0.0.1:9100 or [::]:50051".to_owned())
}

/// A size, where 0 means none.
pub(super) fn size_or_none(text: &str) -> Result<Option<u64>, values::ValueError> {
    if text == "0" {
        Ok(None)
    } else {
        values::size(text).map(Some)
    }
}

fn role(text: &str) -> Result<Role, &'static str> {
    match text {
        "viewer" => Ok(Role::Viewer),
        "operator" => Ok(Role::Operator),
        _ => Err("give viewer or operator"),
    }
}

pub(super) fn log_format(text: &str) -> Result<log::Format, &'static str> {
    match text {
        "text" => Ok(log::Format::Text),
        "json" => Ok(log::Format::Json),
        _ => Err("give text or json"),
    }
}
