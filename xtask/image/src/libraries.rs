//! The shared libraries of a program, read from the program itself: `ldd` would run it, and cannot for another
//! architecture.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use object::Endianness;
use object::elf::{self, DT_NEEDED, DT_STRSZ, DT_STRTAB, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

use crate::{Architecture, Tree};

/// The directories of an architecture's libraries on this machine.
#[derive(Clone, Debug)]
pub struct LibraryPath {
    architecture: Architecture,
    directories: Vec<PathBuf>,
}

/// A library in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The file on this machine.
    pub source: PathBuf,
    /// Its path in the image.
    pub path: String,
}

/// The loader and the libraries that a program or library needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    loader: Option<String>,
    libraries: Vec<String>,
}

impl LibraryPath {
    /// The usual directories of an architecture, after the given ones.
    #[must_use]
    pub fn of(architecture: Architecture, first: &[PathBuf]) -> Self {
        let name = architecture.multiarch();
        let mut directories = first.to_vec();
        // The directories of Debian, of Debian's cross-compilers, and of distributions without
        // multiarch.
        for directory in ["/lib/NAME", "/usr/lib/NAME", "/usr/NAME/lib"] {
            directories.push(directory.replace("NAME", name).into());
        }
        if Architecture::native().is_ok_and(|native| native == architecture) {
            directories.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from));
        }
        Self {
            architecture,
            directories,
        }
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let candidates = self
            .directories
            .iter()
            .map(|directory| directory.join(name));
        candidates.into_iter().find(|path| path.is_file())
    }
}

impl Tree {
    /// Adds a program, its loader, and every library that they need. Libraries that are in the image already
    /// are not added again. Returns all libraries of the program.
    ///
    /// # Errors
    /// The missing library, and the file that needs it.
    pub fn program(
        &mut self,
        source: &Path,
        path: &str,
        libraries: &LibraryPath,
    ) -> Result<Vec<Library>> {
        self.file(source, path)?;
        let mut found: BTreeMap<String, Library> = BTreeMap::new();
        let needs = needs(source)?;
        let loader = needs.loader.unwrap_or_default();
        let loader_name = loader.rsplit('/').next().unwrap_or_default().to_owned();
        if !loader.is_empty() {
            let file = libraries.find(&loader_name);
            let file = file.or_else(|| Some(PathBuf::from(&loader)).filter(|path| path.is_file()));
            let source = file.with_context(|| {
                format!("{} needs the loader {loader}: not found", source.display())
            })?;
            found.insert(
                loader_name.clone(),
                Library {
                    source,
                    path: loader,
                },
            );
        }
        let mut queue: Vec<(String, PathBuf)> = of(&needs.libraries, source);
        while let Some((name, needed_by)) = queue.pop() {
            if name == loader_name || found.contains_key(&name) {
                continue;
            }
            let Some(file) = libraries.find(&name) else {
                bail!(
                    "{} needs {name}, which is not in {:?}",
                    needed_by.display(),
                    libraries.directories
                );
            };
            queue.extend(of(&self::needs(&file)?.libraries, &file));
            let path = format!("/lib/{}/{name}", libraries.architecture.multiarch());
            found.insert(name, Library { source: file, path });
        }
        let found: Vec<Library> = found.into_values().collect();
        for library in &found {
            if !self.contains(&library.path) {
                self.file(&library.source, &library.path)?;
            }
        }
        Ok(found)
    }
}

fn of(names: &[String], needed_by: &Path) -> Vec<(String, PathBuf)> {
    let pair = |name: &String| (name.clone(), needed_by.to_owned());
    names.iter().map(pair).collect()
}

fn needs(file: &Path) -> Result<Needs> {
    let data = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    parse(&data).with_context(|| format!("{} is not a 64-bit ELF file", file.display()))
}

fn parse(data: &[u8]) -> Result<Needs> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let mut needs = Needs::default();
    for segment in segments {
        if let Some(loader) = segment.interpreter(endian, data)? {
            needs.loader = Some(String::from_utf8(loader.to_vec())?);
        }
        let Some(entries) = segment.dynamic(endian, data)? else {
            continue;
        };
        let value = |tag| {
            let entry = entries.iter().find(|entry| entry.tag(endian) == tag);
            entry.map(|entry| entry.d_val(endian))
        };
        let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
            continue;
        };
        let strings = strings(segments, endian, data, address, size)?;
        for entry in entries {
            if entry.tag(endian) == DT_NEEDED {
                let rest = usize::try_from(entry.d_val(endian))
                    .ok()
                    .and_then(|at| strings.get(at..));
                let name = rest.and_then(|rest| rest.split(|&byte| byte == 0).next());
                let name = name.context("a name outside the table of strings")?;
                needs.libraries.push(String::from_utf8(name.to_vec())?);
            }
        }
    }
    Ok(needs)
}

/// The dynamic section's strings, which are in one of the segments.
fn strings<'data>(
    segments: &[elf::ProgramHeader64<Endianness>],
    endian: Endianness,
    data: &'data [u8],
    address: u64,
    size: u64,
) -> Result<&'data [u8]> {
    for segment in segments {
        if let Ok(Some(strings)) = segment.data_range(endian, data, address, size) {
            return Ok(strings);
        }
    }
    bail!("no segment holds the table of strings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_comes_with_its_loader_and_its_c_library() {
        let own = std::env::current_exe().unwrap();
        let mut tree = Tree::default();
        let path = LibraryPath::of(Architecture::native().unwrap(), &[]);
        let libraries = tree.program(&own, "/usr/bin/own", &path).unwrap();
        let has = |text: &str| libraries.iter().any(|library| library.path.contains(text));
        assert!(has("/libc.so.6") && has("/ld-linux"), "{libraries:?}");
        assert!(tree.contains("/usr/bin/own"));
        // A second program shares them.
        tree.program(&own, "/usr/bin/second", &path).unwrap();
    }

    #[test]
    fn a_missing_library_is_named_with_what_needs_it() {
        let own = std::env::current_exe().unwrap();
        let nothing = LibraryPath {
            architecture: Architecture::Amd64,
            directories: Vec::new(),
        };
        let error = Tree::default()
            .program(&own, "/own", &nothing)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("needs lib") && error.contains("own") || error.contains("needs"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_program_is_an_error_and_no_panic() {
        for data in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
            assert!(parse(data).is_err());
        }
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [64, 500, 5000] {
            assert!(parse(&own[..length]).is_err());
        }
    }
}
