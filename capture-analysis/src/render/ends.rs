//! Ends of conversations as text, with the names from the files.

use crate::report::{End, Report};

/// Formats ends of one report.
pub(super) struct Ends<'r>(&'r Report);

impl<'r> Ends<'r> {
    pub(super) const fn of(report: &'r Report) -> Self {
        Self(report)
    }

    /// Its name if there is one, its address and its port.
    pub(super) fn show(&self, end: &End) -> String {
        let address = match end.port {
            Some(port) if end.address.contains(':') => format!("[{}]:{port}", end.address),
            Some(port) => format!("{}:{port}", end.address),
            None => end.address.clone(),
        };
        match self.name(&end.address) {
            Some(name) => format!("{name} ({address})"),
            None => address,
        }
    }

    /// The name of an address.
    pub(super) fn name(&self, address: &str) -> Option<&'r str> {
        self.0.names.get(address).map(String::as_str)
    }
}
