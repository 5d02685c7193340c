//! Checks one setting after the other, so that all errors are reported together.

use std::{fmt::Display, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use capture_types::values;

use super::layer::Layer;

/// Reads values of a layer and collects all errors.
pub(super) struct Values<'a> {
    layer: &'a Layer,
    pub(super) wrong: Vec<String>,
}

impl<'a> Values<'a> {
    pub(super) const fn new(layer: &'a Layer) -> Self {
        Self {
            layer,
            wrong: Vec::new(),
        }
    }

    pub(super) fn wrong(&mut self, name: &str, problem: impl Display) {
        let value = self.layer.get(name);
        self.wrong.push(format!("{name} {value:?}: {problem}"));
    }

    /// A value that may not be empty.
    pub(super) fn check<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(&self.layer.get(name)) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(name, error);
                None
            }
        }
    }

    /// A text; `None` if it is empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        Some(self.layer.get(name)).filter(|text| !text.is_empty())
    }

    /// Texts, separated by commas.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let text = self.layer.get(name);
        let parts = text.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.check(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("give true or false"),
        })
        .unwrap_or_default()
    }

    pub(super) fn number<T: FromStr + PartialOrd + Display + Copy>(
        &mut self,
        name: &str,
        least: T,
    ) -> Option<T> {
        self.check(name, |text| {
            let number = text.parse().ok().filter(|number| *number >= least);
            number.ok_or_else(|| format!("give a number of at least {least}"))
        })
    }

    pub(super) fn size(&mut self, name: &str) -> Option<u64> {
        self.check(name, values::size)
    }

    /// A size; 0 without a unit for none.
    pub(super) fn size_or_zero(&mut self, name: &str) -> Option<u64> {
        self.check(name, |text| match text.trim() {
            "0" => Ok(0),
            text => values::size(text),
        })
    }

    pub(super) fn duration(&mut self, name: &str) -> Option<Duration> {
        self.check(name, |text| {
            values::duration(text)
                .ok()
                .filter(|time| !time.is_zero())
                .ok_or("give a number with ms, s, m or h, as in 30s")
        })
    }

    /// An address; the inner `None` if it is empty.
    pub(super) fn address(&mut self, name: &str) -> Option<Option<SocketAddr>> {
        self.check(name, |text| {
            if text.is_empty() {
                return Ok(None);
            }
            text.parse()
                .map(Some)
                .map_err(|_| "give an address and a port, as in 127.0.0.1:8000")
        })
    }
}
