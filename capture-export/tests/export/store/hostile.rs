//! Names from outside stay where they belong, and secrets stay secret.

use std::fs;

use capture_file::manifest::FileEntry;
use object_server::{ACCESS_KEY, SECRET_KEY};

use super::s3;
use crate::support::{Data, Exporter, START, tree, write_capture};

#[test]
fn hostile_names_never_leave_their_place_in_the_store() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    let names = [
        "%2e%2e%2fx",
        "a b.pcapng",
        "é.pcapng",
        "..pcapng",
        "x?y#z",
        "{node}",
        "a\\..\\b",
        "-rf",
    ];
    for (number, name) in (2..).zip(names) {
        let path = data.of("web").join(name);
        write_capture(&path, START, 1, 60);
        let bytes = fs::metadata(&path).unwrap().len();
        data.edit("web", |entries| {
            entries.push(FileEntry {
                first: Some(START.into()),
                ..FileEntry::unknown(name.to_owned(), number, bytes)
            });
        });
    }
    // These lead elsewhere, and are not followed.
    for (number, name) in (100..).zip(["../outside", "/etc/hostname", "..", "sub/x"]) {
        data.edit("web", |entries| {
            entries.push(FileEntry::unknown(name.to_owned(), number, 1))
        });
    }
    let (root, _server, exporter) = s3(&data, "");
    let mut running = exporter.run();
    let expected = names.len() as u64 + 1;
    running.until("all files", || exporter.delivered("archive") == expected);
    let bucket = tree(&root.path().join("bucket"));
    assert_eq!(bucket.len() as u64, expected * 3);
    for key in bucket.keys() {
        assert!(key.starts_with("c/n/s/web/2023-11-14/"), "{key}");
        assert_eq!(key.split('/').count(), 6, "{key}");
    }
}

#[test]
fn secrets_are_in_no_log_error_status_argument_or_file() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    let (root, server, exporter) = s3(&data, "credentials = 'NAME'\n");
    let credentials = exporter.state.path().join("credentials");
    let text = format!("AWS_ACCESS_KEY_ID={ACCESS_KEY}\nAWS_SECRET_ACCESS_KEY={SECRET_KEY}\n");
    fs::write(&credentials, text).unwrap();
    let config = fs::read_to_string(&exporter.config).unwrap();
    let config = config.replace("NAME", credentials.to_str().unwrap());
    fs::write(&exporter.config, config).unwrap();
    // The environment has other, wrong keys: the file is above it.
    let exporter =
        exporter.with_environment([("AWS_SECRET_ACCESS_KEY", "wrong-key-in-the-environment")]);
    server.faults().refuse_next(6, 403);
    let mut running = exporter.run();
    running.until("a denial", || {
        exporter
            .checkpoint("archive")
            .is_some_and(|checkpoint| checkpoint.trouble.is_some())
    });
    let arguments = fs::read(format!("/proc/{}/cmdline", running.id())).unwrap();
    let mut seen = String::from_utf8_lossy(&arguments).into_owned();
    seen += &exporter.prints(&["status"]);
    seen += &exporter.prints(&["config", "print"]);
    running.until("the file", || exporter.delivered("archive") == 1);
    seen += &running.kill();
    for content in tree(&exporter.state_dir())
        .values()
        .chain(tree(root.path()).values())
    {
        seen += &String::from_utf8_lossy(content);
    }
    assert!(
        !seen.contains(SECRET_KEY) && !seen.contains("wrong-key"),
        "{seen}"
    );
    assert!(seen.contains("archive"));
}

#[test]
fn a_wrong_configuration_is_rejected_before_anything_is_sent() {
    let data = Data::new();
    for (sink, said) in [
        ("", "no sink is configured"),
        (
            "[sink.a]\ntype = 'store'\nurl = 's3://u:p@b'\n",
            "contains a user",
        ),
        (
            "[sink.a]\ntype = 'store'\nurl = 's3://b'\nkey = '{nope}'\n",
            "{nope} is unknown",
        ),
        (
            "[sink.a]\ntype = 'store'\nurl = 's3://b'\nspeed = 1\n",
            "speed",
        ),
        ("[sink.a]\ntype = 'tape'\n", "tape"),
        (
            "[sink.a]\ntype = 'store'\nurl = 's3://b'\ncacert = '/nonexistent'\n",
            "/nonexistent",
        ),
    ] {
        let exporter = Exporter::new(data.path(), sink);
        let output = exporter.output(&["run"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn credentials_that_are_renewed_are_used_without_a_restart() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    let (root, _server, exporter) = s3(&data, "credentials = 'NAME'\n");
    let credentials = exporter.state.path().join("credentials");
    let key = |key: &str| format!("AWS_ACCESS_KEY_ID={ACCESS_KEY}\nAWS_SECRET_ACCESS_KEY={key}\n");
    fs::write(&credentials, key("expired")).unwrap();
    let config = fs::read_to_string(&exporter.config).unwrap();
    let config = config.replace("NAME", credentials.to_str().unwrap());
    fs::write(&exporter.config, config).unwrap();
    let mut running = exporter.run();
    running.until("a denial", || {
        exporter
            .checkpoint("archive")
            .is_some_and(|checkpoint| checkpoint.trouble.is_some())
    });
    assert_eq!(exporter.delivered("archive"), 0);
    // As Kubernetes does it: another file under the same name.
    let renewed = exporter.state.path().join("renewed");
    fs::write(&renewed, key(SECRET_KEY)).unwrap();
    fs::rename(&renewed, &credentials).unwrap();
    running.until("the file", || exporter.delivered("archive") == 1);
    super::assert_holds(&root.path().join("bucket"), &data, "web");
    let (_, log) = running.terminate();
    assert!(log.contains("were read again"), "{log}");
    assert!(!log.contains(SECRET_KEY), "{log}");
}
