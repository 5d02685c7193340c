//! Downloads the files of a capture from many nodes: each is downloaded, resumed where it broke off,
//! checked against its digest, then merged.
//!
//! Until the output `NAME` is complete, `NAME.pull/` is next to it: with `NODE/FILE` for whole files and
//! `NODE/FILE.part` for others. A later pull resumes from there.

mod download;
mod retry;
mod workspace;

pub use download::{DownloadError, Fetch, Report, Wanted, download};
pub use retry::Retry;
pub use workspace::file_name;
pub use workspace::{Workspace, WorkspaceError};
