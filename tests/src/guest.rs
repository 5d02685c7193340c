//! A kernel other than this machine's, booted in qemu with a program and little else.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::{netns::run, wait};

/// The part before the script: file systems, modules, loopback, and `give NAME`, which passes a
/// file or its absence to the test. The second serial port is used only by the test, so that kernel
/// messages do not interfere.
const HEAD: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t devtmpfs devtmpfs /dev
stty -F /dev/ttyS1 raw
for module in /modules/*.xz; do [ -e "$module" ] && unxz "$module"; done
for module in /modules/*; do insmod "$module"; done
ip link set lo up
give() { echo "$1 $(hexdump -v -e '1/1 "%02x"' "/tmp/$1")" > /dev/ttyS1; }
uname -r > /tmp/release
give release
"#;

const TAIL: &str = "
echo end > /dev/ttyS1
poweroff -f
";

/// A kernel and its modules, fetched by `cargo xtask`.
#[derive(Debug)]
pub struct Kernel {
    directory: PathBuf,
}

/// The directory of the kernels, one subdirectory for each series; set by `cargo xtask test`.
const KERNELS: &str = "CAPTURE_TEST_KERNELS";

impl Kernel {
    /// The kernel of a series such as `6.1`; `None` if it is not installed.
    #[must_use]
    pub fn of(series: &str) -> Option<Self> {
        let directory = Path::new(&std::env::var_os(KERNELS)?).join(series);
        directory
            .join("vmlinuz")
            .is_file()
            .then_some(Self { directory })
    }

    /// Boots it with a program in its PATH, runs the lines of a shell script there, and returns the
    /// files that the script gave.
    pub fn run(&self, program: &Path, script: &str) -> Result<Given> {
        let directory = TempDir::new()?;
        let image = directory.path().join("image");
        self.pack(program, script, &directory.path().join("root"), &image)?;
        let given = directory.path().join("given");
        let console = directory.path().join("console");
        let port = |path: &Path| format!("file:{}", path.display());
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
            .args(["-m", "1024", "-display", "none", "-monitor", "none"])
            .args(["-nic", "none", "-no-reboot"])
            .args(["-serial", &port(&console), "-serial", &port(&given)])
            .args(["-append", "console=ttyS0 panic=-1 mitigations=off"])
            .arg("-kernel")
            .arg(self.directory.join("vmlinuz"))
            .arg("-initrd")
            .arg(&image);
        let mut qemu = Guest(qemu.spawn().context("starting qemu-system-x86_64")?);
        let ended = wait::within(Duration::from_secs(300), "the guest to end", || {
            Ok(qemu.0.try_wait()?)
        });
        let text = fs::read_to_string(&given).unwrap_or_default();
        if ended.is_err() || text.lines().next_back() != Some("end") {
            let console = fs::read(&console).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let from = console.len().saturating_sub(4000);
            bail!(
                "the guest did not come to its end: {ended:?}; it gave: {text:?}; its console ends: {}",
                &console[console.ceil_char_boundary(from)..]
            );
        }
        Given::parse(&text)
    }

    /// The guest's file system: busybox, the program, their libraries, the modules and the script.
    fn pack(&self, program: &Path, script: &str, root: &Path, image: &Path) -> Result<()> {
        for directory in ["bin", "dev", "etc", "modules", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(directory))?;
        }
        let busybox = which("busybox")?;
        for file in [&busybox, program] {
            let name = file.file_name().context("a program without a name")?;
            fs::copy(file, root.join("bin").join(name))?;
            for library in libraries(file)? {
                let to = root.join(library.strip_prefix("/")?);
                fs::create_dir_all(to.parent().context("a library without a directory")?)?;
                fs::copy(&library, to)?;
            }
        }
        for module in fs::read_dir(self.directory.join("modules"))? {
            let module = module?;
            fs::copy(module.path(), root.join("modules").join(module.file_name()))?;
        }
        for names in ["/etc/services", "/etc/protocols"] {
            fs::copy(names, root.join(&names[1..]))?;
        }
        let init = root.join("init");
        fs::write(&init, [HEAD, script, TAIL].concat())?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        symlink("busybox", root.join("bin/sh"))?;
        let archive = format!(
            "cd '{}' && find . | busybox cpio -o -H newc > '{}'",
            root.display(),
            image.display()
        );
        run("sh", &["-c", &archive]).map(drop)
    }
}

/// Ends with the test.
#[derive(Debug)]
struct Guest(std::process::Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The files that a script gave, by name.
#[derive(Debug, Default)]
pub struct Given(Vec<(String, Vec<u8>)>);

impl Given {
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| *line != "end");
        let given: Result<_> = lines
            .map(|line| {
                let (name, digits) = line.split_once(' ').unwrap_or((line, ""));
                let bytes: Result<_, _> = (0..digits.len() / 2)
                    .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16))
                    .collect();
                Ok((name.to_owned(), bytes.with_context(|| line.to_owned())?))
            })
            .collect();
        Ok(Self(given?))
    }

    /// A file.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        let mut all = self.0.iter();
        all.find(|(given, _)| given == name)
            .map(|(_, bytes)| &bytes[..])
            .with_context(|| format!("the guest gave no {name}"))
    }

    /// A text file, without surrounding white space.
    pub fn text(&self, name: &str) -> Result<&str> {
        Ok(std::str::from_utf8(self.bytes(name)?)?.trim())
    }
}

fn which(program: &str) -> Result<PathBuf> {
    let found = run("sh", &["-c", &format!("command -v {program}")])?;
    Ok(found.trim().into())
}

/// The shared libraries of a program, including its loader; empty for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(!text.contains("not found"), "{}: {text}", program.display());
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect())
}
