//! The file with accounts and tokens. A changed file is read again; if that fails, the last content stays.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, phc::PasswordHash},
};
use serde::Deserialize;

use super::caller::Caller;
use crate::api::Role;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// It cannot be read.
    #[error("accounts {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is not valid.
    #[error("accounts {path}: {problem}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Somebody who may log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The hash of the password, as `capture-web account` prints it.
    password: String,
}

impl Account {
    /// The hash of the password.
    pub(super) fn password_hash(&self) -> &str {
        &self.password
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    name: String,
    role: Role,
    sha256: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<Account>,
    #[serde(default)]
    token: Vec<TokenEntry>,
}

/// Accounts and tokens.
#[derive(Debug)]
pub struct Accounts {
    path: PathBuf,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    changed: Option<SystemTime>,
    accounts: HashMap<String, Account>,
    /// By hash.
    tokens: HashMap<String, (String, Role)>,
}

impl Accounts {
    /// Reads the file.
    ///
    /// # Errors
    /// See [`AccountsError`].
    pub fn read(path: PathBuf) -> Result<Self, AccountsError> {
        let content = Mutex::new(content(&path)?);
        Ok(Self { path, content })
    }

    /// An account.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Account> {
        self.with(|content| content.accounts.get(name).cloned())
    }

    /// The caller with the token of this hash.
    pub(super) fn by_token(&self, hash: &str) -> Option<Caller> {
        self.with(|content| {
            let (name, role) = content.tokens.get(hash)?;
            Some(Caller::new(name.clone(), *role))
        })
    }

    fn with<T>(&self, get: impl FnOnce(&Content) -> T) -> T {
        let mut current = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = modified(&self.path);
        if changed.is_some() && changed != current.changed {
            match content(&self.path) {
                Ok(new) => *current = new,
                Err(error) => {
                    tracing::error!("the last accounts stay in use: {error}");
                    // Told once per change.
                    current.changed = changed;
                }
            }
        }
        get(&current)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

fn content(path: &Path) -> Result<Content, AccountsError> {
    let changed = modified(path);
    let text = fs::read_to_string(path).map_err(|source| AccountsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let invalid = |problem: String| AccountsError::Invalid {
        path: path.to_owned(),
        problem,
    };
    let file: File = toml::from_str(&text).map_err(|error| invalid(error.message().to_owned()))?;
    let mut content = Content {
        changed,
        ..Content::default()
    };
    for account in file.account {
        PasswordHash::new(&account.password).map_err(|error| {
            invalid(format!(
                "the password of {:?} is no hash ({error}): write what `capture-web account` prints",
                account.name
            ))
        })?;
        let name = account.name.clone();
        if name.is_empty() || content.accounts.insert(name.clone(), account).is_some() {
            return Err(invalid(format!("account {name:?} is empty or there twice")));
        }
    }
    for token in file.token {
        let is_hash =
            token.sha256.len() == 64 && token.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(invalid(format!(
                "the sha256 of token {:?} is none: write what `capture-web token` prints",
                token.name
            )));
        }
        let hash = token.sha256.to_ascii_lowercase();
        content.tokens.insert(hash, (token.name, token.role));
    }
    Ok(content)
}

/// The hash of a password, for the file.
///
/// # Errors
/// The system has no random numbers.
pub fn hash_password(password: &str) -> Result<String, String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}
