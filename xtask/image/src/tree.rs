//! The files of an image, by path.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use anyhow::{Context as _, Result, bail};
use tar::{Builder, EntryType, Header};

#[derive(Debug)]
enum Entry {
    Directory { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { target: String },
}

/// Files, directories and symbolic links. Parents are created as needed, with mode 0755.
#[derive(Debug, Default)]
pub struct Tree {
    /// By path without a leading slash.
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// Adds a file of this machine; it keeps its executable bit.
    ///
    /// # Errors
    /// The file cannot be read, or something else is at the path.
    pub fn file(&mut self, source: &Path, path: &str) -> Result<()> {
        let reading = || format!("reading {}", source.display());
        let content = fs::read(source).with_context(reading)?;
        let mode = fs::metadata(source).with_context(reading)?.permissions();
        let mode = if mode.mode() & 0o111 == 0 {
            0o644
        } else {
            0o755
        };
        self.insert(path, Entry::File { mode, content })
    }

    /// Adds a file with this content, readable by everyone.
    ///
    /// # Errors
    /// Something else is at the path.
    pub fn text(&mut self, path: &str, content: &str) -> Result<()> {
        let content = content.as_bytes().to_vec();
        self.insert(
            path,
            Entry::File {
                mode: 0o644,
                content,
            },
        )
    }

    /// Adds a directory with this mode.
    ///
    /// # Errors
    /// Something else is at the path.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.insert(path, Entry::Directory { mode })
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// Something else is at the path.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let target = target.to_owned();
        self.insert(path, Entry::Link { target })
    }

    /// Whether there is something at a path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path.trim_start_matches('/'))
    }

    fn insert(&mut self, path: &str, entry: Entry) -> Result<()> {
        let clean = Path::new(path);
        let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        if !clean.is_absolute() || !clean.components().all(is_plain) || path.ends_with('/') {
            bail!("`{path}` is not an absolute path in an image");
        }
        for parent in clean.ancestors().skip(1) {
            let name = parent.to_string_lossy();
            let name = name.trim_start_matches('/');
            if !name.is_empty() && !self.entries.contains_key(name) {
                self.entries
                    .insert(name.to_owned(), Entry::Directory { mode: 0o755 });
            }
        }
        let name = path.trim_start_matches('/').to_owned();
        if self.entries.insert(name, entry).is_some() {
            bail!("`{path}` is in the image twice");
        }
        Ok(())
    }

    /// Writes the files as a plain tar archive.
    ///
    /// # Errors
    /// The archive cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, self.to_tar()?).with_context(|| format!("writing {}", file.display()))
    }

    /// The files as a tar archive.
    pub(crate) fn to_tar(&self) -> Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let mut header = Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            match entry {
                Entry::Directory { mode } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                    archive.append_data(&mut header, path, std::io::empty())?;
                }
                Entry::File { mode, content } => {
                    header.set_mode(*mode);
                    header.set_size(content.len() as u64);
                    archive.append_data(&mut header, path, content.as_slice())?;
                }
                Entry::Link { target } => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    archive.append_link(&mut header, path, target)?;
                }
            }
        }
        Ok(archive.into_inner()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn parents_come_before_what_is_in_them_and_the_same_files_give_the_same_bytes() {
        let make = |order: [&str; 2]| {
            let mut tree = Tree::default();
            for path in order {
                tree.text(path, path).unwrap();
            }
            tree.directory("/tmp", 0o1777).unwrap();
            tree.link("/bin/sh", "busybox").unwrap();
            tree.to_tar().unwrap()
        };
        let bytes = make(["/usr/bin/a", "/etc/b"]);
        assert_eq!(bytes, make(["/etc/b", "/usr/bin/a"]));
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = entry.path().unwrap().display().to_string();
            found.push((path, entry.header().mode().unwrap(), text));
        }
        let expected = [
            ("bin", 0o755, ""),
            ("bin/sh", 0o777, ""),
            ("etc", 0o755, ""),
            ("etc/b", 0o644, "/etc/b"),
            ("tmp", 0o1777, ""),
            ("usr", 0o755, ""),
            ("usr/bin", 0o755, ""),
            ("usr/bin/a", 0o644, "/usr/bin/a"),
        ];
        let expected = expected.map(|(path, mode, text)| (path.into(), mode, text.into()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_path_that_leaves_the_image_or_comes_twice_is_rejected() {
        let mut tree = Tree::default();
        for path in ["etc/passwd", "/../etc", "/etc/", "", "/"] {
            assert!(tree.text(path, "").is_err(), "{path:?}");
        }
        tree.text("/a", "").unwrap();
        let error = tree.text("/a", "").unwrap_err().to_string();
        assert_eq!(error, "`/a` is in the image twice");
    }
}
