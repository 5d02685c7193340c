//! `capture-export documents`: the documents of files on stdout, without a cluster.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use capture_types::{Digest, DigestAlgorithm};
use clap::Args;

use crate::{
    documents::{Continued, FileContext, Kinds, Output, read},
    file::open_regular,
    settings::Settings,
};

/// Options of `documents`.
#[derive(Debug, Args)]
pub(super) struct DocumentsArgs {
    /// The files, in the order of their capture.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Kinds of documents: flow, dns, tls, http, finding, packet.
    #[arg(long, value_name = "KINDS", default_value_t)]
    documents: Kinds,
    /// Write the action of the bulk API before each document, for a request by hand.
    #[arg(long)]
    bulk: bool,
}

/// The exit status if a file could not be read to its end; like that of capturectl for what is damaged.
const DAMAGED: u8 = 6;
/// Bytes that are written to stdout at once.
const AT_ONCE: usize = 256 << 10;

impl DocumentsArgs {
    pub(super) fn run(self, settings: &Settings) -> Result<ExitCode> {
        let mut code = ExitCode::SUCCESS;
        let mut continued = Continued::default();
        for path in &self.files {
            let name = || path.display().to_string();
            let file = open_regular(path).with_context(name)?;
            let opened = open_regular(path).with_context(name)?;
            let digest = capture_file::digest(opened, DigestAlgorithm::default())?;
            let failed = Arc::new(Mutex::new(None));
            let output = Lines {
                lines: Vec::with_capacity(AT_ONCE + (16 << 10)),
                bulk: self.bulk,
                stopped: false,
                failed: Arc::clone(&failed),
            };
            let context = context(path, settings, &digest);
            let done = read(context, file, self.documents, continued, output, |_| ());
            continued = done.continued;
            let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
            match failed {
                // Nobody reads on.
                Some(error) if io::Error::kind(&error) == io::ErrorKind::BrokenPipe => {
                    return Ok(code);
                }
                Some(error) => return Err(error).context("writing to stdout"),
                None => {}
            }
            if let Some(problem) = done.problem {
                eprintln!("capture-export: {}: {problem}", path.display());
                code = DAMAGED.into();
            }
        }
        Ok(code)
    }
}

fn context(path: &Path, settings: &Settings, digest: &Digest) -> FileContext {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let capture = name.split('.').next().unwrap_or_default().to_owned();
    FileContext {
        cluster: settings.origin.cluster.clone(),
        node: settings.origin.node.clone(),
        series: capture.clone(),
        capture,
        path: path.display().to_string(),
        sequence: None,
        digest: digest.to_string(),
    }
}

/// Writes documents to stdout.
struct Lines {
    lines: Vec<u8>,
    bulk: bool,
    stopped: bool,
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Lines {
    fn write(&mut self) {
        if !self.stopped
            && let Err(error) = io::stdout().lock().write_all(&self.lines)
        {
            self.stopped = true;
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        self.lines.clear();
    }
}

impl Output for Lines {
    fn document(&mut self, id: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        if self.bulk {
            self.lines.extend_from_slice(b"{\"create\":{\"_id\":\"");
            self.lines.extend_from_slice(id);
            self.lines.extend_from_slice(b"\"}}\n");
        }
        write(&mut self.lines);
        self.lines.push(b'\n');
        if self.lines.len() >= AT_ONCE {
            self.write();
        }
    }

    fn stopped(&self) -> bool {
        self.stopped
    }

    fn finish(&mut self) {
        self.write();
    }
}
