//! Logins with a password. A wrong password and an account that does not exist cost the same and look the same.

use std::{sync::Arc, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordVerifier as _, phc::PasswordHash},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    accounts::{Account, Accounts, hash_password},
    rate::Rates,
    token::{Token, hash},
};
use crate::database::{Database, DatabaseError, StoredSession};

/// Passwords that are checked at once: each takes 19 MiB and a processor for some 50 ms.
const AT_ONCE: usize = 2;
/// Logins per minute and client address.
const PER_MINUTE: u32 = 20;
/// Wrong passwords after which an account is locked.
const ALLOWED: u32 = 5;
/// How long it is locked.
const LOCK: Duration = Duration::from_secs(15 * 60);
/// Longer names and passwords are wrong.
const LONGEST: usize = 1024;

/// Why somebody is not logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The name or the password is wrong.
    #[error("the name or the password is wrong")]
    Wrong,
    /// The account, or the client, has to wait.
    #[error("too many logins; wait {} seconds", .0.as_secs().max(1))]
    Wait(Duration),
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The system fails.
    #[error("the login cannot be checked: {0}")]
    System(String),
}

/// Checks logins and begins sessions.
#[derive(Debug)]
pub struct Logins {
    accounts: Arc<Accounts>,
    database: Database,
    /// How long a session lasts.
    pub length: Duration,
    rates: Rates,
    places: Semaphore,
    /// Checked where there is no account, so that the time tells nothing.
    nobody: String,
}

impl Logins {
    /// Checks logins against accounts.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(
        accounts: Arc<Accounts>,
        database: Database,
        length: Duration,
    ) -> Result<Self, LoginError> {
        Ok(Self {
            accounts,
            database,
            length,
            rates: Rates::new(PER_MINUTE),
            places: Semaphore::new(AT_ONCE),
            nobody: hash_password("nobody has this password").map_err(LoginError::System)?,
        })
    }

    /// Begins a session; returns the account, the session's token and what requests must repeat.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn begin(
        &self,
        name: &str,
        password: &str,
        client: &str,
    ) -> Result<(Account, Token, String), LoginError> {
        self.rates.take(client).map_err(LoginError::Wait)?;
        if name.len() > LONGEST || password.len() > LONGEST {
            return Err(LoginError::Wrong);
        }
        let account = self.accounts.find(name);
        if account.is_some()
            && let Some(left) = self.database.locked(name).await?
        {
            return Err(LoginError::Wait(left));
        }
        let stored = account
            .as_ref()
            .map_or(&*self.nobody, Account::password_hash);
        let is_right = self.verify(stored, password).await?;
        let Some(account) = account else {
            return Err(LoginError::Wrong);
        };
        if !is_right {
            self.database.login_failed(name, ALLOWED, LOCK).await?;
            return Err(LoginError::Wrong);
        }
        self.database.login_succeeded(name).await?;
        let random = || Token::new().map_err(|error| LoginError::System(error.to_string()));
        let (token, csrf) = (random()?, random()?);
        let session = StoredSession {
            account: account.name.clone(),
            csrf: csrf.text().to_owned(),
        };
        let stored = hash(token.text());
        self.database
            .begin_session(&stored, &session, self.length)
            .await?;
        Ok((account, token, session.csrf))
    }

    async fn verify(&self, stored: &str, password: &str) -> Result<bool, LoginError> {
        let system = |error: &dyn std::fmt::Display| LoginError::System(error.to_string());
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|error| system(&error))?;
        let (stored, password) = (stored.to_owned(), password.to_owned());
        let checked = spawn_blocking(move || {
            let hash = PasswordHash::new(&stored).ok()?;
            Some(
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok(),
            )
        });
        let checked = checked.await.map_err(|error| system(&error))?;
        checked.ok_or_else(|| system(&"its stored hash is damaged"))
    }
}
