//! Small file systems for a single test.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use capture_tests::gate;

/// A file system that is unmounted when this is dropped, also when the test fails.
pub(crate) struct Mount {
    path: PathBuf,
    _root: tempfile::TempDir,
}

impl Mount {
    /// A tmpfs of this size in bytes; `None`, after a report, where mounting is not possible.
    pub(crate) fn tmpfs(bytes: u64, options: &str) -> Option<Self> {
        let options = format!("size={bytes},mode=0700{options}");
        Self::at_new_place(&["-t", "tmpfs", "-o", &options, "tmpfs"])
    }

    /// An ext4 file system of this size in bytes, in a file.
    pub(crate) fn ext4(bytes: u64) -> Option<Self> {
        let image = tempfile::NamedTempFile::new().expect("tempfile");
        image.as_file().set_len(bytes).expect("set_len");
        let path = image.path().to_str().expect("UTF-8");
        if !run("mkfs.ext4", &["-q", "-F", "-m", "0", path]) {
            return skip("mkfs.ext4");
        }
        // The loop device keeps the image after its name is removed.
        Self::at_new_place(&["-o", "loop", path])
    }

    fn at_new_place(arguments: &[&str]) -> Option<Self> {
        let root = tempfile::tempdir().expect("tempdir");
        let path = root.path().join("mounted");
        std::fs::create_dir(&path).expect("create");
        let target = path.to_str().expect("UTF-8");
        if !run("mount", &[arguments, &[target]].concat()) {
            return skip("mount (needs root)");
        }
        Some(Self { path, _root: root })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[self.path.to_str().expect("UTF-8")]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .status()
        .is_ok_and(|status| status.success())
}

fn skip<T>(what: &str) -> Option<T> {
    gate::cannot_run(&format!("{what} does not work here")).expect("writes to stderr");
    None
}
