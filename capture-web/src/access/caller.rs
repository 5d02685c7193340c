//! A caller with a role.

use crate::api::Role;

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// What requests that change something must repeat; only with a session's cookie.
    pub csrf: Option<String>,
}

/// The role does not allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {is:?}, and this needs {needs:?}")]
pub struct Denied {
    /// The caller.
    pub name: String,
    /// The caller's role.
    pub is: Role,
    /// The role that it needs.
    pub needs: Role,
}

impl Caller {
    /// A caller.
    #[must_use]
    pub const fn new(name: String, role: Role) -> Self {
        Self {
            name,
            role,
            csrf: None,
        }
    }

    /// A caller who has the cookie of a session.
    #[must_use]
    pub fn with_csrf(mut self, csrf: String) -> Self {
        self.csrf = Some(csrf);
        self
    }

    /// Checks the role.
    ///
    /// # Errors
    /// It is below the one that is needed.
    pub fn needs(&self, role: Role) -> Result<(), Denied> {
        if self.role >= role {
            return Ok(());
        }
        Err(Denied {
            name: self.name.clone(),
            is: self.role,
            needs: role,
        })
    }

    /// Whether the caller may see what belongs to an owner.
    #[must_use]
    pub fn sees(&self, owner: &str) -> bool {
        self.role == Role::Admin || self.name == owner
    }
}
