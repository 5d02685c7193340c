//! The application protocol of a flow, recognised by the first bytes of data.

/// The application protocol of a flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Application {
    /// No data was seen yet.
    #[default]
    Unknown,
    /// TLS records.
    Tls,
    /// HTTP/1.
    Http,
    /// Something else.
    Other,
}

const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"HTTP/1.",
];

impl Application {
    /// Recognises it by the first bytes that one side sends.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        match data {
            [] => Self::Unknown,
            // A handshake record of SSL 3.0 to TLS 1.3.
            [22, 3, 0..=4, ..] => Self::Tls,
            _ if METHODS.iter().any(|method| data.starts_with(method)) => Self::Http,
            _ => Self::Other,
        }
    }
}
