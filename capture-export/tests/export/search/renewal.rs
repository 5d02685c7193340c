//! Certificates that are replaced while the exporter runs.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use super::{cluster::Cluster, nginx::Nginx, traffic};
use crate::support::{Data, Exporter, Running};

/// The files that an exporter has of a Secret, which Kubernetes replaces by another directory behind a link.
struct Secret {
    directory: tempfile::TempDir,
    version: u32,
}

const NAMES: [&str; 3] = ["ca.pem", "client.pem", "client.key"];

impl Secret {
    fn new(nginx: &Nginx) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in NAMES {
            symlink(format!("..data/{name}"), directory.path().join(name)).unwrap();
        }
        let mut secret = Self {
            directory,
            version: 0,
        };
        secret.renew(|name| fs::read(nginx.file(name)).unwrap());
        secret
    }

    fn renew(&mut self, content: impl Fn(&str) -> Vec<u8>) {
        self.version += 1;
        let name = format!("..{}", self.version);
        let directory = self.directory.path().join(&name);
        fs::create_dir(&directory).unwrap();
        for file in NAMES {
            fs::write(directory.join(file), content(file)).unwrap();
        }
        let link = self.directory.path().join("..next");
        symlink(&name, &link).unwrap();
        fs::rename(&link, self.directory.path().join("..data")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn add(data: &mut Data, seconds: u64) {
    data.add_with("web", 20, |path, _| traffic::mixed(seconds).write(path));
}

fn has_trouble(exporter: &Exporter) -> bool {
    let checkpoint = exporter.checkpoint("search");
    checkpoint.is_some_and(|checkpoint| checkpoint.trouble.is_some())
}

fn until_delivered(running: &mut Running, exporter: &Exporter, files: u64) {
    running.until("the next file", || exporter.delivered("search") == files);
}

#[test]
fn renewed_certificates_are_used_without_a_restart_and_broken_ones_are_told_once_and_not_used() {
    let test = "renewed_certificates_are_used_without_a_restart_and_broken_ones_are_told_once_and_not_used";
    let Some(cluster) = Cluster::start(test) else {
        return;
    };
    let Some(mut nginx) = Nginx::start(test, cluster.url(), &[]) else {
        return;
    };
    let mut secret = Secret::new(&nginx);
    let settings: String = [("cacert", NAMES[0]), ("cert", NAMES[1]), ("key", NAMES[2])]
        .iter()
        .map(|(setting, name)| format!("{setting} = '{}'\n", secret.path(name).display()))
        .collect();
    let settings = settings + "retries = 1\n";
    let mut data = Data::new();
    add(&mut data, 1);
    let exporter = super::exporter(data.path(), &nginx.mutual, &cluster.index, &settings);
    exporter.prints(&["search", "setup", "--sink", "search"]);
    let mut running = exporter.run();
    until_delivered(&mut running, &exporter, 1);

    // A key that is no key, and a certificate that ends early: the files before are used, also for the file after.
    secret.renew(|name| {
        let whole = fs::read(nginx.file(name)).unwrap();
        match name {
            "ca.pem" => whole,
            _ => whole[..whole.len() / 2].to_vec(),
        }
    });
    for files in [2, 3] {
        add(&mut data, files);
        until_delivered(&mut running, &exporter, files);
    }
    let warnings = |log: &str| log.matches("those before are used").count();
    let log = running.log();
    assert_eq!(warnings(&log), 1, "{log}");
    assert!(
        log.contains("client.pem") || log.contains("client.key"),
        "{log}"
    );
    assert!(!log.contains("were read again"), "{log}");

    // The server has certificates of another authority, and takes none of the one before.
    nginx.replace_authority();
    add(&mut data, 4);
    running.until("a failure", || has_trouble(&exporter));
    assert_eq!(exporter.delivered("search"), 3);
    secret.renew(|name| fs::read(nginx.file(name)).unwrap());
    until_delivered(&mut running, &exporter, 4);
    assert!(!has_trouble(&exporter));
    let log = running.kill();
    assert_eq!(log.matches("were read again").count(), 1, "{log}");
    assert_eq!(warnings(&log), 1, "{log}");
    for line in fs::read_to_string(nginx.file("client.key"))
        .unwrap()
        .lines()
    {
        assert!(line.starts_with("---") || !log.contains(line), "{log}");
    }
}
