//! Requests that another site's page makes a browser send are refused, whatever the browser adds to them.

use axum::http::{HeaderMap, Method, header::HOST, header::ORIGIN};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// A page of another site sent it.
    #[error("the request comes from the page of another site, {0}")]
    OtherSite(String),
    /// The name in the address is not this machine's.
    #[error("this server is for this machine only, and {0} is not a name of it")]
    OtherHost(String),
}

/// Checks a request. `local`: the server listens on a loopback address and everybody may do everything, so that the
/// name in the browser's address must be one that no other site can have (DNS rebinding).
///
/// # Errors
/// See [`OriginError`].
pub fn check(method: &Method, headers: &HeaderMap, local: bool) -> Result<(), OriginError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST).unwrap_or_default();
    if local && !is_local(host) {
        return Err(OriginError::OtherHost(host.to_owned()));
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    if let Some(origin) = text(ORIGIN) {
        let own = origin
            .split_once("://")
            .is_some_and(|(_, of)| of.eq_ignore_ascii_case(host));
        if !own {
            return Err(OriginError::OtherSite(origin.to_owned()));
        }
    }
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(site) => Err(OriginError::OtherSite(
            String::from_utf8_lossy(site).into_owned(),
        )),
    }
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                axum::http::HeaderName::from_static(name),
                value.parse().unwrap(),
            )
        });
        pairs.collect()
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let check = |pairs: &[_]| super::check(&Method::POST, &headers(pairs), true);
        let host = ("host", "127.0.0.1:8000");
        assert_eq!(check(&[host]), Ok(()), "a program");
        assert_eq!(check(&[host, ("origin", "http://127.0.0.1:8000")]), Ok(()));
        assert!(check(&[host, ("origin", "http://evil.example")]).is_err());
        assert!(check(&[host, ("origin", "null")]).is_err());
        assert!(check(&[host, ("sec-fetch-site", "cross-site")]).is_err());
    }

    #[test]
    fn another_name_for_this_machine_shows_nothing() {
        let check = |host| super::check(&Method::GET, &headers(&[("host", host)]), true);
        for host in ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
        for host in [
            "evil.example:8000",
            "",
            "127.0.0.1.evil.example",
            "10.0.0.1",
        ] {
            assert!(check(host).is_err(), "{host}");
        }
    }
}
