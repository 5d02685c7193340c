//! Malcolm's SFTP server: a real sshd on a loopback port, as a process of its own.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{assert_mixed, mixed};
use crate::support::{Data, Exporter, skipped, tree};

/// An sshd that serves SFTP only, ended when this is dropped.
struct Sshd {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
}

const SSHD: &str = "/usr/sbin/sshd";

impl Sshd {
    fn start() -> Option<Self> {
        if !Path::new(SSHD).exists() || !rustix::process::geteuid().is_root() {
            skipped(
                "malcolm::sftp",
                "it needs root and sshd (Debian: openssh-server)",
            );
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["host", "key", "other"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(path(name))
                .status();
            assert!(made.unwrap().success());
        }
        fs::create_dir(path("files")).unwrap();
        fs::copy(path("key.pub"), path("authorized")).unwrap();
        fs::set_permissions(path("authorized"), fs::Permissions::from_mode(0o600)).unwrap();
        // Needed by sshd, and made by its service only.
        fs::create_dir_all("/run/sshd").unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n\
             Subsystem sftp internal-sftp\nForceCommand internal-sftp -d {}\n",
            path("host").display(),
            path("authorized").display(),
            directory.path().display()
        );
        fs::write(path("sshd_config"), config).unwrap();
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(path("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sshd = Self {
            child,
            directory,
            port,
        };
        let host = fs::read_to_string(sshd.path("host.pub")).unwrap();
        fs::write(
            sshd.path("known_hosts"),
            format!("[127.0.0.1]:{port} {host}"),
        )
        .unwrap();
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(sshd);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("sshd does not listen");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn sink(&self, name: &str, key: &str, known_hosts: &str) -> String {
        format!(
            "[sink.{name}]\ntype = 'malcolm'\nurl = 'sftp://root@127.0.0.1:{}/files'\nkey = '{}'\n\
             known_hosts = '{}'\ntags = ['lab']\n",
            self.port,
            self.path(key).display(),
            self.path(known_hosts).display()
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn malcolm_gets_files_by_sftp_and_only_a_known_host_and_key_are_trusted() {
    let mut data = Data::new();
    mixed(&mut data);
    let Some(sshd) = Sshd::start() else { return };
    let other = fs::read_to_string(sshd.path("other.pub")).unwrap();
    fs::write(
        sshd.path("wrong_hosts"),
        format!("[127.0.0.1]:{} {other}", sshd.port),
    )
    .unwrap();
    let sinks = [
        sshd.sink("right", "key", "known_hosts"),
        sshd.sink("wrong-host", "key", "wrong_hosts"),
        sshd.sink("wrong-key", "other", "known_hosts"),
    ];
    let exporter = Exporter::new(data.path(), &sinks.concat());
    let mut running = exporter.run();
    running.until("three files", || exporter.delivered("right") == 3);
    assert_mixed(&tree(&sshd.path("files")));
    for (sink, reason) in [
        ("wrong-host", "Host key verification failed"),
        ("wrong-key", "Permission denied"),
    ] {
        running.until("a refusal", || {
            let checkpoint = exporter.checkpoint(sink);
            let trouble = checkpoint.and_then(|checkpoint| checkpoint.trouble);
            trouble.is_some_and(|trouble| trouble.reason.contains(reason))
        });
        assert!(
            exporter.delivered(sink) <= 1,
            "nothing but the file without packets"
        );
    }
}
