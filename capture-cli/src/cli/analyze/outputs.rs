//! What `analyze` writes beside its summary.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use capture_analysis::{render, report::Report, tcp::Flags};
use serde::Serialize;

use super::{create, directory};
use crate::cli::exit::Error;

/// Frames that are conspicuous: file, number, and what they are.
pub(super) type Lines = Arc<Mutex<Vec<(u32, u64, Flags)>>>;

#[derive(Serialize)]
struct Line<'l> {
    file: &'l str,
    frame: u64,
    flags: Vec<&'static str>,
}

/// Writes a line of JSON for each.
pub(super) struct Frames<'f> {
    file: &'f mut BufWriter<File>,
    names: &'f [String],
    lines: Lines,
}

impl<'f> Frames<'f> {
    pub(super) const fn new(
        file: &'f mut BufWriter<File>,
        names: &'f [String],
        lines: Lines,
    ) -> Self {
        Self { file, names, lines }
    }

    /// Writes what has gathered.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        for (file, frame, flags) in lines {
            let line = Line {
                file: self.names.get(file as usize).map_or("", String::as_str),
                frame,
                flags: flags
                    .iter()
                    .map(capture_analysis::tcp::Flag::name)
                    .collect(),
            };
            serde_json::to_writer(&mut *self.file, &line)?;
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }
}

pub(super) fn html(report: &Report, top: usize, path: &Path) -> Result<(), Error> {
    let mut page = Page {
        out: BufWriter::new(create(path)?),
        failed: None,
    };
    let written = render::html(report, top, &mut page);
    if let Some(error) = page.failed.take() {
        return Err(error.into());
    }
    if written.is_err() {
        return Err(Error::Failed(format!(
            "{}: the page cannot be made",
            path.display()
        )));
    }
    page.out.flush()?;
    Ok(())
}

/// Text into a file; the error that `fmt` swallows is kept.
struct Page {
    out: BufWriter<File>,
    failed: Option<io::Error>,
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.failed = Some(error);
            fmt::Error
        })
    }
}

pub(super) fn csv(report: &Report, path: &Path) -> Result<(), Error> {
    directory(path)?;
    for table in render::tables(report) {
        let mut out = BufWriter::new(create(&path.join(table.name))?);
        table.write(&mut out)?;
        out.flush()?;
    }
    Ok(())
}

/// A line of text, for `compare`.
pub(super) fn line(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a `String` does not fail.
    _ = out.write_fmt(text);
    out.push('\n');
}
