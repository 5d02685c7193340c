//! Files of a capture from many nodes onto this machine: each downloaded, taken up again where it broke
//! off, compared with its SHA-256, then merged.
//!
//! Beside the output `NAME` stands `NAME.pull/` while there is no output yet: `NODE/FILE` for files that
//! are whole and `NODE/FILE.part` for those that are not. A later pull goes on from there.

mod download;
mod retry;
mod workspace;

pub use download::{DownloadError, Fetch, Report, Wanted, download};
pub use retry::Retry;
pub use workspace::file_name;
pub use workspace::{Workspace, WorkspaceError};
