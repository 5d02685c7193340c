//! Host names in an expression: found through libpcap's error, and replaced by their addresses.

use std::net::IpAddr;

use crate::{
    error::{FilterError, Place},
    tokens,
};

/// Maximum addresses of one name.
const MAX_ADDRESSES: usize = 32;

/// The unknown host name that made a compilation without a resolver fail.
pub(super) fn unknown(error: &FilterError) -> Option<&Place> {
    match error {
        FilterError::Invalid {
            message,
            at: Some(place),
        } if message.starts_with("unknown host '") => Some(place),
        _ => None,
    }
}

/// Whether an expression is rejected because it has an address of the other IP version.
pub(super) fn is_other_version<T>(compiled: &Result<T, FilterError>) -> bool {
    let error = match compiled {
        Err(FilterError::Inner(error)) => error,
        Err(error) => error,
        Ok(_) => return false,
    };
    matches!(error, FilterError::Invalid { message, .. } if message.contains("modifier applied to"))
}

/// The expression with all occurrences of a name replaced by addresses, in several variants. The
/// first that libpcap accepts is right: `ip host NAME` means the IPv4 addresses only, `ip6 host
/// NAME` the others.
pub(super) fn substitutes(expression: &str, name: &str, addresses: &[IpAddr]) -> Vec<String> {
    let any = addresses.to_vec();
    let v4: Vec<IpAddr> = any.iter().copied().filter(IpAddr::is_ipv4).collect();
    let v6: Vec<IpAddr> = any.iter().copied().filter(IpAddr::is_ipv6).collect();
    let mut choices = vec![any, v4, v6];
    choices.retain(|addresses| !addresses.is_empty());
    choices.dedup();
    choices
        .iter()
        .map(|addresses| substitute(expression, name, addresses))
        .collect()
}

fn substitute(expression: &str, name: &str, addresses: &[IpAddr]) -> String {
    let list: Vec<String> = addresses
        .iter()
        .take(MAX_ADDRESSES)
        .map(ToString::to_string)
        .collect();
    let list = match &list[..] {
        [one] => one.clone(),
        many => format!("({})", many.join(" or ")),
    };
    let mut text = String::new();
    let mut done = 0;
    for token in tokens::tokenize(expression) {
        if token.text.trim_start_matches('\\') == name {
            text.push_str(&expression[done..token.start]);
            text.push_str(&list);
            done = token.end();
        }
    }
    text.push_str(&expression[done..]);
    text
}

#[cfg(test)]
mod tests {
    use super::substitutes;

    #[test]
    fn a_name_becomes_its_addresses_everywhere_and_nothing_else_does() {
        let addresses = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let expression = "src host a.b and not (port 80 or host \\a.b) and host a.b.c";
        assert_eq!(
            substitutes(expression, "a.b", &addresses),
            [
                "src host (10.0.0.1 or fd00::1) and not (port 80 or host (10.0.0.1 or fd00::1)) and host a.b.c",
                "src host 10.0.0.1 and not (port 80 or host 10.0.0.1) and host a.b.c",
                "src host fd00::1 and not (port 80 or host fd00::1) and host a.b.c",
            ]
        );
        let one = ["10.0.0.1".parse().unwrap()];
        assert_eq!(substitutes("host x", "x", &one), ["host 10.0.0.1"]);
        assert!(substitutes("host x", "x", &[]).is_empty());
    }
}
