//! Parsers of option values. Each message says what is valid; clap puts the option's name and the value
//! before it.

use capture_client::model::{Pod, Time};
use capture_types::{PodId, pod::pod_address, values};

pub(super) fn small_size(text: &str) -> Result<u32, String> {
    u32::try_from(values::size(text).map_err(|error| error.to_string())?)
        .map_err(|_| "it must be less than 4GiB".to_owned())
}

pub(super) fn time(text: &str) -> Result<Time, String> {
    humantime::parse_rfc3339_weak(text)
        .ok()
        .and_then(|time| Time::try_from(time).ok())
        .ok_or_else(|| "give a UTC time, as in 2026-03-01T12:00:00Z".to_owned())
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// `NAMESPACE/NAME=ADDRESS`, with more addresses behind commas.
pub(super) fn pod(text: &str) -> Result<Pod, String> {
    let parts = text.split_once('=').and_then(|(pod, addresses)| {
        let (namespace, name) = pod.split_once('/')?;
        Some((namespace, name, addresses))
    });
    let (namespace, name, addresses) =
        parts.ok_or("write NAMESPACE/NAME=ADDRESS, as in shop/web-0=10.244.1.7")?;
    PodId::new(namespace, name, "").map_err(|(field, error)| format!("{field}: {error}"))?;
    let addresses = addresses.split(',').map(|address| {
        let checked = pod_address(address).map_err(|error| format!("{address:?}: {error}"))?;
        Ok(checked.to_string())
    });
    Ok(Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        addresses: addresses.collect::<Result<_, String>>()?,
        ..Pod::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_refused() {
        assert!(small_size("4GiB").is_err());
        for bad in ["tomorrow", "2026-13-01T00:00:00Z", "1969-01-01T00:00:00Z"] {
            assert!(time(bad).is_err(), "time {bad:?}");
        }
        assert!(label("=x").is_err());
        assert!(label("x").is_err());
        for bad in [
            "web",
            "shop/web",
            "web=10.0.0.7",
            "Shop/web=10.0.0.7",
            "shop/web=",
            "shop/web=::1",
        ] {
            assert!(pod(bad).is_err(), "pod {bad:?}");
        }
    }

    #[test]
    fn values_mean_what_they_say() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        let pod = pod("shop/web-0=10.244.1.7,fd00::7").expect("a pod");
        assert_eq!(
            (pod.namespace.as_str(), pod.name.as_str()),
            ("shop", "web-0")
        );
        assert_eq!(pod.addresses, ["10.244.1.7", "fd00::7"]);
        let time = time("2026-03-01T12:00:00Z").map(|time| time.seconds());
        assert_eq!(time, Ok("2026-03-01T12:00:00Z".to_owned()));
    }
}
