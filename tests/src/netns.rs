//! Network namespaces joined by veth pairs: the hosts of the tests.

use std::{
    fs::{self, File},
    panic,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// iproute2's directory of named namespaces.
const DIRECTORY: &str = "/run/netns";
const PREFIX: &str = "captest";

/// A network namespace, removed when dropped. It has a loopback interface that is up, and sends nothing
/// by itself (IPv6 is disabled: no neighbour discovery, no router solicitation), so that a test knows
/// every packet in it. IPv6 frames can be sent all the same.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// Whether somebody else made it, and removes it.
    is_foreign: bool,
}

impl Namespace {
    /// Creates a namespace, and removes those that killed test processes left behind.
    pub fn new() -> Result<Self> {
        static LEFTOVERS: Once = Once::new();
        LEFTOVERS.call_once(remove_leftovers);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "{PREFIX}-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        run("ip", &["netns", "add", &name])?;
        let namespace = Self {
            name,
            is_foreign: false,
        };
        namespace.run(|| -> Result<()> {
            for scope in ["all", "default"] {
                let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
                // Without IPv6 in the kernel there is nothing to disable.
                if Path::new(&path).exists() {
                    fs::write(&path, "1").with_context(|| format!("writing {path}"))?;
                }
            }
            Ok(())
        })?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// One that something else made and removes.
    #[must_use]
    pub fn existing(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_foreign: true,
        }
    }

    /// Its name in iproute2.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// Runs `ip` in it; `arguments` are split at white space.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split_whitespace());
        run("ip", &all)
    }

    /// Runs `tc` in it; `arguments` are split at white space.
    pub fn tc(&self, arguments: &str) -> Result<String> {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split_whitespace());
        run("tc", &all)
    }

    /// Runs a function on a new thread in this namespace. Sockets opened and processes started there
    /// stay in it. A panic continues in the caller.
    pub fn run<T: Send>(&self, function: impl FnOnce() -> T + Send) -> T {
        let outcome = thread::scope(|scope| {
            scope
                .spawn(|| {
                    if let Err(error) = self.enter() {
                        panic!("{error:#}");
                    }
                    function()
                })
                .join()
        });
        match outcome {
            Ok(value) => value,
            Err(payload) => panic::resume_unwind(payload),
        }
    }

    /// Moves the calling thread into it.
    pub fn enter(&self) -> Result<()> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(LinkNameSpaceType::Network),
        )
        .with_context(|| format!("entering {}", path.display()))
    }

    /// Index of one of its interfaces.
    pub fn ifindex(&self, interface: &str) -> Result<u32> {
        let text = self.ip(&format!("-json link show dev {interface}"))?;
        let links: serde_json::Value = serde_json::from_str(&text)?;
        links[0]["ifindex"]
            .as_u64()
            .and_then(|index| u32::try_from(index).ok())
            .with_context(|| format!("no ifindex in {text}"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if self.is_foreign {
            return;
        }
        // A failure here must not hide the test's own.
        if let Err(error) = run("ip", &["netns", "del", &self.name]) {
            eprintln!("network namespace {} stays behind: {error:#}", self.name);
        }
    }
}

/// Two namespaces joined by a veth pair, `eth0` in each.
#[derive(Debug)]
pub struct Pair {
    /// 10.0.0.1, [`MAC_A`].
    pub a: Namespace,
    /// 10.0.0.2, [`MAC_B`].
    pub b: Namespace,
}

/// Hardware address of `a`'s interface.
pub const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
/// Hardware address of `b`'s interface.
pub const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

impl Pair {
    /// With the usual MTU of 1,500 bytes.
    pub fn new() -> Result<Self> {
        Self::with_mtu(1500)
    }

    /// With another MTU.
    pub fn with_mtu(mtu: u32) -> Result<Self> {
        let pair = Self {
            a: Namespace::new()?,
            b: Namespace::new()?,
        };
        pair.a.ip(&format!(
            "link add eth0 mtu {mtu} address 02:00:00:00:00:0a type veth peer name eth0 mtu {mtu} \
             address 02:00:00:00:00:0b netns {}",
            pair.b.name
        ))?;
        for (here, address, there, mac) in [
            (&pair.a, "10.0.0.1", "10.0.0.2", "02:00:00:00:00:0b"),
            (&pair.b, "10.0.0.2", "10.0.0.1", "02:00:00:00:00:0a"),
        ] {
            here.ip("link set eth0 up")?;
            here.ip(&format!("addr add {address}/24 dev eth0"))?;
            // Permanent entries: no unexpected ARP.
            here.ip(&format!("neigh replace {there} lladdr {mac} dev eth0"))?;
        }
        Ok(pair)
    }
}

/// Runs a program to its end; an error contains its output.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} {} ended with {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    ensure!(
        output.stdout.is_ascii(),
        "{program} printed other than ASCII"
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        let of_a_test = parts.next() == Some(PREFIX);
        let process = parts.next().and_then(|id| id.parse::<u32>().ok());
        if let Some(process) = process
            && of_a_test
            && !Path::new(&format!("/proc/{process}")).exists()
        {
            // Another test process may be removing it at the same moment.
            let _ = run("ip", &["netns", "del", &name]);
        }
    }
}
