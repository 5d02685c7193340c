//! Who a caller is, and what the caller may do.

mod accounts;
mod caller;
mod cookie;
mod login;
mod origin;
mod rate;
mod token;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::http::HeaderMap;

use crate::{
    api::{Authentication, Role},
    database::{Database, DatabaseError},
};

pub use accounts::{Account, Accounts, AccountsError, hash_password};
pub use caller::{Caller, Denied};
pub use cookie::{COOKIE, cleared as cleared_cookie, of as cookie_of, set as set_cookie};
pub use login::{LoginError, Logins};
pub use origin::{OriginError, check as check_origin};
pub use rate::Rates;
pub use token::{Token, hash as token_hash};

/// The name of everybody where nobody needs to prove who they are.
pub const EVERYBODY: &str = "local";

/// How callers prove who they are.
#[derive(Debug)]
pub enum Mode {
    /// Not at all.
    Open,
    /// By a session or a token.
    Accounts(Arc<Accounts>),
    /// By the header of a proxy.
    Proxy(Proxy),
}

/// A proxy that authenticates users.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The header with the user's name, in lower case.
    pub user_header: String,
    /// The header with the user's role, in lower case.
    pub role_header: Option<String>,
    /// The role without that header.
    pub role: Role,
    /// The addresses of the proxies.
    pub addresses: Vec<IpAddr>,
}

/// Finds out who callers are.
#[derive(Debug)]
pub struct Access {
    /// How.
    pub mode: Mode,
    /// Sessions.
    pub database: Database,
}

impl Access {
    /// How callers prove who they are.
    #[must_use]
    pub const fn authentication(&self) -> Authentication {
        match self.mode {
            Mode::Open => Authentication::None,
            Mode::Accounts(_) => Authentication::Accounts,
            Mode::Proxy(_) => Authentication::Proxy,
        }
    }

    /// The caller of a request; `None` without any proof.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn caller(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<Option<Caller>, DatabaseError> {
        match &self.mode {
            Mode::Open => Ok(Some(Caller::new(EVERYBODY.to_owned(), Role::Admin))),
            Mode::Proxy(proxy) => Ok(proxy.caller(headers, peer)),
            Mode::Accounts(accounts) => {
                if let Some(token) = token::bearer(headers) {
                    return Ok(accounts.by_token(&token_hash(token)));
                }
                let Some(token) = cookie_of(headers) else {
                    return Ok(None);
                };
                let Some(session) = self.database.session(&token_hash(token)).await? else {
                    return Ok(None);
                };
                // An account that was removed, or has another role now, is so at once.
                Ok(accounts
                    .find(&session.account)
                    .map(|account| Caller::new(account.name, account.role).with_csrf(session.csrf)))
            }
        }
    }
}

impl Proxy {
    /// The user that a trusted proxy names.
    fn caller(&self, headers: &HeaderMap, peer: SocketAddr) -> Option<Caller> {
        if !self.addresses.contains(&peer.ip().to_canonical()) {
            return None;
        }
        // A header that is there twice was added to one of the client.
        let only = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?.trim();
            (values.next().is_none() && !value.is_empty()).then(|| value.to_owned())
        };
        let user = only(&self.user_header)?;
        let role = match &self.role_header {
            None => self.role,
            Some(name) => match &*only(name)? {
                "viewer" => Role::Viewer,
                "analyst" => Role::Analyst,
                "admin" => Role::Admin,
                _ => return None,
            },
        };
        Some(Caller::new(user, role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_names_the_user_and_only_once() {
        let proxy = Proxy {
            user_header: "x-user".to_owned(),
            role_header: None,
            role: Role::Viewer,
            addresses: vec!["10.0.0.1".parse().unwrap()],
        };
        let mut headers = HeaderMap::new();
        headers.append("x-user", "alice".parse().unwrap());
        let trusted = "10.0.0.1:1".parse().unwrap();
        assert_eq!(proxy.caller(&headers, trusted).unwrap().name, "alice");
        let mapped = "[::ffff:10.0.0.1]:1".parse().unwrap();
        assert!(proxy.caller(&headers, mapped).is_some());
        assert!(
            proxy
                .caller(&headers, "10.0.0.2:1".parse().unwrap())
                .is_none()
        );
        headers.append("x-user", "eve".parse().unwrap());
        assert!(proxy.caller(&headers, trusted).is_none());
    }
}
