//! Wireshark's extcap: the protocol by which it finds interfaces in other programs and captures from
//! them (<https://www.wireshark.org/docs/wsdg_html_chunked/ChCaptureExtcap.html>).

mod install;
mod sentence;
mod source;

use std::ffi::OsString;

pub use install::{InstallError, directory, install};
pub use sentence::{dlt, greeting, interface, number_argument};
pub use source::Source;

/// Whether Wireshark is the caller: it always passes an option that no command has, also with `--capture`.
#[must_use]
pub fn is_called(arguments: &[OsString]) -> bool {
    let mut given = arguments.iter().skip(1);
    given.any(|argument| argument.to_string_lossy().starts_with("--extcap-"))
}

#[cfg(test)]
mod tests {
    use super::is_called;

    #[test]
    fn wireshark_is_told_apart_from_who_analyses_a_capture() {
        let called = |line: &str| is_called(&line.split(' ').map(Into::into).collect::<Vec<_>>());
        assert!(called(
            "capturectl --extcap-interfaces --extcap-version=4.0"
        ));
        assert!(called(
            "capturectl --capture --extcap-interface web --fifo /tmp/fifo"
        ));
        assert!(!called("capturectl analyze --capture web"));
    }
}
