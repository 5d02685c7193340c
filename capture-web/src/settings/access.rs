//! Settings about who may do what.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use axum::http::HeaderName;

use super::values::Values;
use crate::api::Role;

/// How callers prove who they are.
#[derive(Debug, Clone)]
pub enum AccessSettings {
    /// Not at all.
    Open,
    /// By the accounts and tokens of this file.
    Accounts(PathBuf),
    /// By the header of a proxy.
    Proxy(ProxySettings),
}

/// A proxy that authenticates users.
#[derive(Debug, Clone)]
pub struct ProxySettings {
    /// The header with the user's name.
    pub user_header: String,
    /// The header with the user's role.
    pub role_header: Option<String>,
    /// The role without that header.
    pub role: Role,
    /// Addresses of the proxies.
    pub addresses: Vec<IpAddr>,
}

pub(super) fn check(values: &mut Values<'_>) -> Option<AccessSettings> {
    let role = values.check("proxy_role", |text| match text {
        "viewer" => Ok(Role::Viewer),
        "analyst" => Ok(Role::Analyst),
        "admin" => Ok(Role::Admin),
        _ => Err("give viewer, analyst or admin"),
    });
    let mut addresses = Vec::new();
    for text in values.list("proxy_addresses") {
        match text.parse::<IpAddr>() {
            Ok(address) => addresses.push(address.to_canonical()),
            Err(_) => values.wrong("proxy_addresses", format!("{text:?} is no IP address")),
        }
    }
    let mut header = |name: &str| {
        let text = values.text(name)?;
        if HeaderName::try_from(&text).is_err() {
            values.wrong(name, "that is no name of a header");
        }
        Some(text.to_ascii_lowercase())
    };
    let (user_header, role_header) = (header("proxy_user_header"), header("proxy_role_header"));
    match (values.file("accounts"), user_header) {
        (Some(_), Some(_)) => {
            values.wrong("accounts", "give accounts or proxy_user_header, not both");
            None
        }
        (Some(path), None) => Some(AccessSettings::Accounts(path)),
        (None, Some(user_header)) => {
            if addresses.is_empty() {
                values.wrong(
                    "proxy_addresses",
                    "give the addresses of the proxy: anybody can send the header",
                );
            }
            Some(AccessSettings::Proxy(ProxySettings {
                user_header,
                role_header,
                role: role?,
                addresses,
            }))
        }
        (None, None) => Some(AccessSettings::Open),
    }
}

/// An address that others can reach needs TLS and accounts, unless asked for by name.
pub(super) fn check_reachable(
    values: &mut Values<'_>,
    listen: SocketAddr,
    has_tls: bool,
    access: &AccessSettings,
) {
    let (without_tls, without_accounts) =
        (values.flag("without_tls"), values.flag("without_accounts"));
    if listen.ip().is_loopback() {
        return;
    }
    if !has_tls && !without_tls {
        values.wrong(
            "listen",
            "others can reach this address: give tls_certificate and tls_key, or without_tls where a proxy \
             in front has TLS",
        );
    }
    if matches!(access, AccessSettings::Open) && !without_accounts {
        values.wrong(
            "listen",
            "others can reach this address: give accounts or proxy_user_header, or without_accounts to let \
             everybody do everything",
        );
    }
}
