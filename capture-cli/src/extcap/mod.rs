//! Wireshark's extcap: the protocol by which it finds interfaces in other programs and captures from
//! them (<https://www.wireshark.org/docs/wsdg_html_chunked/ChCaptureExtcap.html>).

mod install;
mod sentence;
mod source;

use std::ffi::OsString;

pub use install::{InstallError, directory, install};
pub use sentence::{dlt, greeting, interface, number_argument};
pub use source::Source;

/// Whether Wireshark is the caller: it passes options that no command has.
#[must_use]
pub fn is_called(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).any(|argument| {
        argument == "--capture" || argument.to_string_lossy().starts_with("--extcap-")
    })
}
