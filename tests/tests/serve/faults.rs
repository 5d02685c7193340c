//! One truth: the shown state is what runs, what is on disk and what survives.

use std::{fs, os::unix::fs::symlink, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{self, CaptureState};
use capture_tests::{
    capture_file,
    certificates::{Time, replace},
    daemon::{Client, Daemon, spec, wrote_all},
    frame, gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
};
use rustix::process::Signal;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::lab::{ALICE, Lab};

/// The last byte of a packet's number.
const EVEN: &str = "ether[49] & 1 = 0";
const ODD: &str = "ether[49] & 1 = 1";

fn update(
    client: &Client,
    name: &str,
    paths: &[&str],
    spec: v1::CaptureSpec,
) -> Result<v1::Capture, Status> {
    let paths = paths.iter().map(ToString::to_string).collect();
    let request = v1::UpdateCaptureRequest {
        name: name.to_owned(),
        spec: Some(spec),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    };
    let answer = client.wait(client.captures.clone().update_capture(request))?;
    answer
        .into_inner()
        .capture
        .ok_or_else(|| Status::internal("no capture"))
}

fn filter(filter: &str) -> v1::CaptureSpec {
    v1::CaptureSpec {
        filter: filter.to_owned(),
        ..Default::default()
    }
}

/// Numbers of the packets in all files of a capture.
fn numbers(daemon: &Daemon, client: &Client, name: &str) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in client.list_files(name)? {
        let contents = capture_file::read(&daemon.files(name).join(&file.name))?;
        let packets = contents.packets.iter();
        numbers.extend(packets.filter_map(|packet| frame::number(&packet.bytes)));
    }
    Ok(numbers)
}

#[test]
fn after_concurrent_updates_the_kernel_runs_what_the_capture_shows() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const ROUNDS: u64 = 15;
    const FRAMES: u64 = 20;
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let clients = [daemon.client()?, daemon.client()?, daemon.client()?];
    client.start("race", spec("eth0", EVEN))?;
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        thread::scope(|scope| -> Result<()> {
            let mut updates = Vec::new();
            for (client, wanted) in clients.iter().zip([EVEN, ODD, ""]) {
                updates
                    .push(scope.spawn(move || update(client, "race", &["filter"], filter(wanted))));
            }
            for done in updates {
                done.join().ok().context("a panic")??;
            }
            Ok(())
        })?;
        let shown = client.get("race")?.spec.context("no spec")?.filter;
        let sent = round * FRAMES..(round + 1) * FRAMES;
        send_through(&pair, &numbered_frames(sent.clone()))?;
        expected.extend(sent.filter(|number| match shown.as_str() {
            EVEN => number % 2 == 0,
            ODD => number % 2 == 1,
            _ => true,
        }));
    }
    let ended = client.stop("race")?;
    assert_eq!(numbers(&daemon, &client, "race")?, expected);
    wrote_all(&ended, expected.len() as u64)
}

#[test]
fn updates_of_different_fields_at_once_are_all_made() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let clients = [daemon.client()?, daemon.client()?];
    clients[0].start("race", spec("eth0", ""))?;
    for round in 1..=20_u32 {
        let targets = v1::CaptureSpec {
            targets: vec![format!("10.0.0.{round}/32")],
            ..Default::default()
        };
        let ports = v1::CaptureSpec {
            ports: vec![round],
            ..Default::default()
        };
        thread::scope(|scope| -> Result<()> {
            let one = scope.spawn(|| update(&clients[0], "race", &["targets"], targets.clone()));
            let other = scope.spawn(|| update(&clients[1], "race", &["ports"], ports.clone()));
            one.join().ok().context("a panic")??;
            other.join().ok().context("a panic")??;
            Ok(())
        })?;
        let shown = clients[0].get("race")?.spec.context("no spec")?;
        assert_eq!((shown.targets, shown.ports), (targets.targets, ports.ports));
    }
    wrote_all(&clients[0].stop("race")?, 0)
}

#[test]
fn a_mask_changes_and_checks_only_what_it_names() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let inner = v1::InnerFilter {
        expression: "tcp port 80".to_owned(),
        tunnels: vec!["vxlan:4789".to_owned()],
    };
    let both = v1::CaptureSpec {
        inner_filter: Some(inner.clone()),
        ..spec("eth0", "udp")
    };
    client.start("mask", both)?;
    // Fields that the mask does not name may be invalid.
    let new = v1::CaptureSpec {
        limits: Some(v1::Limits {
            packets: Some(0),
            ..Default::default()
        }),
        ..filter("udp port 4789")
    };
    let updated = update(&client, "mask", &["filter"], new)?;
    let shown = updated.spec.context("no spec")?;
    assert_eq!(shown.filter, "udp port 4789");
    assert_eq!(shown.inner_filter, Some(inner));
    let updated = update(
        &client,
        "mask",
        &["inner_filter"],
        v1::CaptureSpec::default(),
    )?;
    let shown = updated.spec.context("no spec")?;
    assert_eq!(
        (shown.filter.as_str(), shown.inner_filter),
        ("udp port 4789", None)
    );
    let refused = update(&client, "mask", &["interfaces"], v1::CaptureSpec::default());
    assert_eq!(
        refused.err().map(|status| status.code()),
        Some(Code::InvalidArgument)
    );
    wrote_all(&client.stop("mask")?, 0)
}

#[test]
fn a_capture_whose_state_cannot_be_saved_is_not_started_and_one_that_runs_says_so() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("before", spec("eth0", ""))?;
    let state = daemon.directory().join("state/captures");
    let away = daemon.directory().join("state/away");
    fs::rename(&state, &away)?;
    let request = v1::StartCaptureRequest {
        name: "after".to_owned(),
        spec: Some(spec("eth0", "")),
        ..Default::default()
    };
    let refused = client.wait(client.captures.clone().start_capture(request.clone()));
    let refused = refused.err().context("it was started")?;
    ensure!(
        refused.message().contains("could not be saved"),
        "{refused}"
    );
    assert!(client.get("after").is_err(), "it is not known");
    assert!(!daemon.files("after").exists());
    send_through(&pair, &numbered_frames(0..50))?;
    let ended = client.stop("before")?;
    let warned = ended
        .warnings
        .iter()
        .any(|one| one.contains("could not be saved"));
    ensure!(warned, "{:?}", ended.warnings);
    wrote_all(&ended, 50)?;
    fs::rename(&away, &state)?;
    client.wait(client.captures.clone().start_capture(request))?;
    wrote_all(&client.stop("after")?, 0)
}

#[test]
fn odd_entries_in_the_state_directory_are_put_aside_and_the_daemon_starts() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("web", spec("eth0", ""))?;
    wrote_all(&client.stop("web")?, 0)?;
    let (_, directory) = daemon.end()?;
    let state = directory.path().join("state/captures");
    fs::create_dir(state.join("directory.json"))?;
    symlink("/no/such", state.join("dangling.json"))?;
    fs::write(state.join("garbage.json"), [0xff; 100])?;
    let daemon = Daemon::start_in(&pair.b, directory, &[])?;
    let client = daemon.client()?;
    assert_eq!(client.get("web")?.state(), CaptureState::Completed);
    for name in ["directory", "dangling", "garbage"] {
        let aside = daemon
            .directory()
            .join(format!("state/captures/{name}.unreadable"));
        assert!(fs::symlink_metadata(aside).is_ok(), "{name}");
    }
    Ok(())
}

#[test]
fn links_and_pipes_in_the_data_directory_are_not_read_and_a_linked_directory_is_not_emptied()
-> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("web", spec("eth0", ""))?;
    send_through(&pair, &numbered_frames(0..50))?;
    wrote_all(&client.stop("web")?, 50)?;
    let files = client.list_files("web")?;
    let own = &files.first().context("no file")?.name;
    let secret = daemon.directory().join("secret");
    fs::write(&secret, "of root alone")?;
    // The listed file is replaced by a link, and other files are placed next to it.
    let path = daemon.files("web").join(own);
    fs::remove_file(&path)?;
    symlink(&secret, &path)?;
    let request = v1::ReadFileRequest {
        capture: "web".to_owned(),
        file: own.clone(),
        ..Default::default()
    };
    let read = client.wait(client.files.clone().read_file(request));
    assert_eq!(read.err().map(|status| status.code()), Some(Code::NotFound));
    assert!(client.list_files("web")?.is_empty());
    // A manifest that is not text: the files are still listed.
    fs::remove_file(&path)?;
    fs::write(&path, "whatever")?;
    fs::write(daemon.files("web").join("web.manifest.jsonl"), [0xff; 1000])?;
    assert_eq!(client.list_files("web")?.len(), 1);
    // The whole directory is a link to somebody else's.
    let foreign = daemon.directory().join("foreign");
    fs::rename(daemon.files("web"), &foreign)?;
    symlink(&foreign, daemon.files("web"))?;
    client.delete("web")?;
    assert!(
        foreign.join(own).exists(),
        "nothing behind a link is removed"
    );
    assert!(client.get("web").is_err(), "it is forgotten all the same");
    Ok(())
}

#[test]
fn a_socket_that_somebody_else_has_put_there_stays() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let socket = daemon.socket();
    fs::remove_file(&socket)?;
    fs::write(&socket, "mine")?;
    let (ended, directory) = daemon.end()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&socket)?, "mine");
    drop(directory);
    Ok(())
}

#[test]
fn two_deletes_at_once_are_one_and_not_found() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let clients = [daemon.client()?, daemon.client()?];
    for round in 0..10 {
        let name = format!("d{round}");
        clients[0].start(&name, spec("eth0", ""))?;
        let delete = |client: &Client| {
            let request = v1::DeleteCaptureRequest {
                name: name.clone(),
                stop: true,
                ..Default::default()
            };
            let deleted = client.wait(client.captures.clone().delete_capture(request));
            deleted
                .map(drop)
                .err()
                .map(|status| (status.code(), status.message().to_owned()))
        };
        let mut outcomes = thread::scope(|scope| -> Result<Vec<_>> {
            let both: Vec<_> = clients
                .iter()
                .map(|client| scope.spawn(|| delete(client)))
                .collect();
            both.into_iter()
                .map(|one| one.join().ok().context("a panic"))
                .collect()
        })?;
        outcomes.sort_by_key(Option::is_some);
        assert_eq!(outcomes[0], None);
        let (code, message) = outcomes[1].clone().context("both were deleted")?;
        assert_eq!(code, Code::NotFound, "{message}");
        assert!(!message.contains("/data"), "{message}");
    }
    Ok(())
}

#[test]
fn a_hang_up_reloads_roles_and_log_level_and_leaves_captures_alone() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let mut daemon = lab.daemon(&pair.b, &[])?;
    let alice = lab.client(&pair.b, &lab.alice()?)?;
    alice.start("steady", spec("eth0", ""))?;
    let bob = || -> Result<String> {
        let client = lab.client(&pair.b, &lab.authority.client("bob", "", Time::Now)?)?;
        let node = client.wait(client.node.clone().get_node(v1::GetNodeRequest {}))?;
        Ok(node.into_inner().node.context("no node")?.caller_role)
    };
    assert_eq!(bob()?, "viewer");
    replace(&lab.path("captured.toml"), "nonsense = 1\n")?;
    daemon.process().signal(Signal::HUP)?;
    daemon.process().wait_for_stderr("was not reloaded")?;
    assert_eq!(bob()?, "viewer");
    let established = lab.client(&pair.b, &lab.authority.client("bob", "", Time::Now)?)?;
    let mut watch = {
        let mut captures = established.captures.clone();
        let answer =
            established.wait(captures.watch_captures(v1::WatchCapturesRequest::default()))?;
        answer.into_inner()
    };
    established.wait(watch.message())?;
    let clients = format!(
        "[[client]]\nsan = \"URI:{ALICE}\"\nrole = \"operator\"\n[[client]]\ncn = \"bob\"\nrole = \"operator\"\n"
    );
    replace(
        &lab.path("captured.toml"),
        &format!("log = \"debug\"\nnode_name = \"other\"\n{clients}"),
    )?;
    daemon.process().signal(Signal::HUP)?;
    daemon
        .process()
        .wait_for_stderr("need a restart: node_name")?;
    assert_eq!(bob()?, "operator");
    // The connection of the viewer is closed, and with it the call on it. That of alice, who is what she was, is not.
    let to_its_end = async {
        while watch.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    let ended = established.wait(async { timeout(Duration::from_secs(60), to_its_end).await });
    assert!(ended.context("the call goes on")?.is_err());
    let node = alice.wait(alice.node.clone().get_node(v1::GetNodeRequest {}))?;
    assert_eq!(
        node.into_inner().node.context("no node")?.log_level,
        "debug"
    );
    send_through(&pair, &numbered_frames(0..50))?;
    wrote_all(&alice.stop("steady")?, 50)
}
