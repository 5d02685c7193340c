//! Who the caller is, what the caller may do, and what this server offers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a caller may do; each role includes those before.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See captures and own reports.
    Viewer,
    /// Also upload, analyse, start and change captures, delete own reports.
    Analyst,
    /// Also see and delete reports of others.
    Admin,
}

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// Not at all: everybody who reaches the address is an admin.
    None,
    /// By a name and a password, or a bearer token.
    Accounts,
    /// By a header of a trusted proxy.
    Proxy,
}

/// The caller and the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The caller's name; absent before the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The caller's role; absent before the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// How callers prove who they are. With `accounts` and no `user` the page shows the login form.
    pub authentication: Authentication,
    /// To send as the header X-CSRF-Token with each POST, PATCH and DELETE; absent before the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
    /// The server's version.
    pub version: String,
    /// Limits of uploads.
    pub uploads: UploadLimits,
    /// How captures are reached; absent where this server has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
    /// Whether addresses, names and strings of payload are pseudonyms in reports.
    pub redacted: bool,
}

/// Limits of uploads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadLimits {
    /// Bytes of one upload, over all its files.
    pub bytes: u64,
    /// Files of one upload.
    pub files: u32,
    /// Seconds that a report is kept.
    pub report_seconds: u64,
}

/// How captures are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Live {
    /// Directly or through the coordinator.
    pub mode: LiveMode,
    /// Whether this caller may start, change, stop and delete captures here.
    pub may_change: bool,
    /// Why nobody may here, and where to do it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Directly or through the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LiveMode {
    /// The daemons of one or more nodes.
    Nodes,
    /// The coordinator of a cluster.
    Coordinator,
}

/// A login.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The account's name.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    /// Does not show the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
