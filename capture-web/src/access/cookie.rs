//! The cookie of a session.

use std::time::Duration;

use axum::http::{HeaderMap, header::COOKIE as HEADER};

/// The cookie's name.
pub const COOKIE: &str = "capture_session";

/// The token in the cookie.
#[must_use]
pub fn of(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, token)| token)
}

/// The header that sets it.
#[must_use]
pub fn set(token: &str, length: Duration, over_tls: bool) -> String {
    let secure = if over_tls { "; Secure" } else { "" };
    format!(
        "{COOKIE}={token}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        length.as_secs()
    )
}

/// The header that clears it.
#[must_use]
pub fn cleared() -> String {
    format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers), None);
        headers.append(HEADER, "a=b; xcapture_session=no".parse().unwrap());
        headers.append(HEADER, "c=d; capture_session=yes".parse().unwrap());
        assert_eq!(of(&headers), Some("yes"));
    }
}
