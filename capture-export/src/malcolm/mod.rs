//! Malcolm as a sink. It gets what it takes: unpacked classic pcap (or pcapng), one file per link type, none without
//! packets, under a name whose parts are the tags that Malcolm makes of it.
//!
//! "Delivered" means that Malcolm's server has taken the file. Malcolm then analyses it, which can fail without a word;
//! "indexed" means that Arkime, behind Malcolm, lists the file.

mod convert;
mod form;
mod login;
mod moving;
mod name;
mod settings;
mod sftp;
mod watched;

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _, path::PathBuf};

use futures_util::future::BoxFuture;

pub use settings::{Format, MalcolmSettings};

use crate::{
    file::FinishedFile,
    sink::{Failure, Indexed, NotReady, Progress, Receipt, Sink},
};
use convert::Converted;
use form::Form;
use sftp::Sftp;
use watched::Watched;

/// Malcolm as a sink.
#[derive(Debug)]
pub struct MalcolmSink {
    way: Way,
    format: Format,
    tags: Vec<String>,
    /// Where converted files are until they are delivered.
    directory: PathBuf,
}

/// How files get there.
#[derive(Debug)]
enum Way {
    Form(Form),
    Sftp(Sftp),
    Watched(Watched),
}

impl Sink for MalcolmSink {
    fn ready(&self) -> BoxFuture<'_, Result<(), NotReady>> {
        Box::pin(async move {
            match &self.way {
                Way::Form(form) => form.ready().await,
                Way::Sftp(sftp) => sftp.ready().await,
                Way::Watched(watched) => watched.ready(),
            }
        })
    }

    fn deliver<'a>(
        &'a self,
        file: &'a FinishedFile,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.hand_over(file, progress))
    }

    fn indexed<'a>(&'a self, receipt: &'a Receipt) -> BoxFuture<'a, Indexed> {
        Box::pin(async move {
            match &self.way {
                Way::Form(form) => form.indexed(&receipt.place).await,
                Way::Sftp(_) | Way::Watched(_) => Indexed::Unknown,
            }
        })
    }
}

impl MalcolmSink {
    async fn hand_over(
        &self,
        file: &FinishedFile,
        progress: &Progress,
    ) -> Result<Receipt, Failure> {
        let converted = self.convert(file, progress).await?;
        let total: u64 = converted.iter().map(|one| one.bytes).sum();
        let mut names = Vec::new();
        let mut done = 0;
        for one in &converted {
            let name = name::of(file, &self.tags, one.link_type, self.format);
            match &self.way {
                Way::Form(form) => form.send(one, &name, progress).await?,
                Way::Sftp(sftp) => sftp.send(one, &name, progress).await?,
                Way::Watched(watched) => watched.put(one, &name, progress).await?,
            }
            // Progress counts bytes of the file as it is on disk, not of what it was converted to.
            let share = file.entry.bytes.saturating_mul(one.bytes) / total.max(1);
            progress.add(share);
            done += share;
            names.push(name);
        }
        progress.add(file.entry.bytes.saturating_sub(done));
        let place = if names.is_empty() {
            "nothing: it has no packets".to_owned()
        } else {
            names.join(",")
        };
        Ok(Receipt {
            place,
            verified: false,
        })
    }

    async fn convert(
        &self,
        file: &FinishedFile,
        progress: &Progress,
    ) -> Result<Vec<Converted>, Failure> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| Failure::retry(format!("{}: {error}", self.directory.display())))?;
        let (file, format) = (file.clone(), self.format);
        let directory = self.directory.clone();
        let conversion =
            tokio::task::spawn_blocking(move || convert::convert(&file, format, &directory));
        tokio::pin!(conversion);
        let mut alive = tokio::time::interval(ALIVE);
        loop {
            tokio::select! {
                converted = &mut conversion => {
                    return converted.map_err(|error| Failure::retry(error.to_string()))?;
                }
                _ = alive.tick() => progress.alive(),
            }
        }
    }
}

/// Local work is reported as progress this often: it ends by itself, with the file.
const ALIVE: std::time::Duration = std::time::Duration::from_secs(5);
