use anyhow::{Context as _, Result};
use capture_tests::{
    client::Capturectl, daemon::Daemon, frame, gate, netns::Pair, packet_socket::PacketSocket,
};

use crate::pull::wrote_all;

#[test]
fn a_capture_is_started_followed_changed_stopped_and_removed() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let ctl = Capturectl::at(&pair.b, &daemon.socket())?;
    assert_eq!(ctl.output(&["list"])?, "no captures\n");
    let started = ctl.json(&[
        "--reason",
        "a test",
        "start",
        "web",
        "-i",
        "eth0",
        "--rotate-packets",
        "30",
        "--label",
        "team=net",
    ])?;
    assert_eq!(started[0]["state"], "running");
    assert_eq!(started[0]["reason"], "a test");
    assert_eq!(started[0]["spec"]["interfaces"][0], "eth0");
    let frames: Vec<_> = (0..100)
        .map(|number| frame::numbered(number, 100))
        .collect();
    PacketSocket::sender(&pair.a, "eth0")?.send_all(&frames)?;

    let listed = ctl.json(&["list", "w*", "--state", "running", "--label", "team=net"])?;
    assert_eq!(listed[0]["name"], "web");
    assert_eq!(
        ctl.json(&["list", "--label", "team=other"])?,
        serde_json::json!([])
    );
    let text = ctl.output(&["get", "web"])?;
    assert!(text.contains("team=net") && text.contains("eth0"), "{text}");
    let changed = ctl.json(&["update", "web", "--duration", "2h", "--label", "team=web"])?;
    assert_eq!(changed[0]["spec"]["limits"]["duration"], "7200s");
    assert_eq!(changed[0]["labels"]["team"], "web");

    let watched = ctl.start(&["-o", "json", "watch", "web", "--until-ended"])?;
    let stopped = ctl.json(&["stop", "web"])?;
    assert_eq!(stopped[0]["state"], "completed");
    wrote_all(&stopped[0], 100)?;
    let watched = watched.wait()?;
    assert!(watched.status.success(), "{}", watched.stderr);
    let last = watched.stdout.lines().last().context("no event")?;
    let last: serde_json::Value = serde_json::from_str(last)?;
    let state = last["capture"]["state"].as_str();
    // A watch that began after the stop receives only the end of the initial list.
    assert!(matches!(state, Some("completed") | None), "{last}");

    let files = ctl.json(&["files", "web"])?;
    let packets = |files: &serde_json::Value| -> Option<u64> {
        files
            .as_array()?
            .iter()
            .map(|file| file["packets"].as_u64())
            .sum()
    };
    assert_eq!(packets(&files), Some(100));
    let verdicts = ctl.json(&["verify", "web"])?;
    assert_eq!(packets(&verdicts), Some(100));
    let would = ctl.json(&["prune", "web", "--keep", "1", "--dry-run"])?;
    assert_eq!(
        ctl.json(&["files", "web"])?,
        files,
        "a dry run removes nothing"
    );
    let pruned = ctl.json(&["prune", "web", "--keep", "1"])?;
    assert_eq!(would, pruned);
    let left = ctl.json(&["files", "web"])?;
    assert_eq!(left.as_array().map(Vec::len), Some(1));
    ctl.output(&["rm", "web"])?;
    assert_eq!(ctl.output(&["list"])?, "no captures\n");

    let interfaces = ctl.json(&["interfaces"])?;
    let mut interfaces = interfaces.as_array().context("no list")?.iter();
    assert!(interfaces.any(|interface| interface["name"] == "eth0"));
    let node = ctl.json(&["node"])?;
    assert_eq!(node[0]["caller_role"], "operator");
    Ok(())
}

#[test]
fn what_went_wrong_is_in_the_exit_status_and_the_message_says_what_to_do() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let nobody = Capturectl::at(&pair.b, "/run/nobody/is/here".as_ref())?;
    let unreachable = nobody.run(&["list"])?;
    assert_eq!(unreachable.status.code(), Some(4));
    assert!(
        unreachable.stderr.contains("captured serve"),
        "{}",
        unreachable.stderr
    );
    assert_eq!(unreachable.stdout, "");

    let daemon = Daemon::start(&pair.b, &["--insecure-listen", "127.0.0.1:9443"])?;
    let ctl = Capturectl::at(&pair.b, &daemon.socket())?;
    let tcp = Capturectl::with(&pair.b, &["--node", "127.0.0.1:9443"])?;
    let cases: [(&Capturectl<'_>, &[&str], i32, &str); 9] = [
        (&ctl, &["get", "nope"], 3, "nope"),
        (&ctl, &["start", "x", "-i", "eth9"], 1, "eth9"),
        (&ctl, &["start", "../x"], 1, "name"),
        (&ctl, &["start", "x", "--compress", "lz4"], 2, "zstd"),
        (&ctl, &["update", "x"], 2, "--filter"),
        (&ctl, &["--context", "lab", "list"], 2, "lab"),
        (&ctl, &["--timeout", "soon", "list"], 2, "30s"),
        (&tcp, &["list"], 2, "cacert"),
        (&ctl, &["pull", "x", "-w", "/"], 2, "--into"),
    ];
    for (ctl, arguments, code, says) in cases {
        let ended = ctl.run(arguments)?;
        assert_eq!(
            ended.status.code(),
            Some(code),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains(says),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    let insecure = Capturectl::with(&pair.b, &["--insecure", "--node", "127.0.0.1:9443"])?;
    assert_eq!(insecure.output(&["list"])?, "no captures\n");
    let mixed = [
        "--insecure",
        "--node",
        "127.0.0.1:9443",
        "--node",
        "127.0.0.1:9",
    ];
    let mixed = Capturectl::with(&pair.b, &mixed)?.run(&["interfaces"])?;
    assert_eq!(mixed.status.code(), Some(4));
    let says = "127.0.0.1:9 cannot be reached";
    assert!(mixed.stderr.contains(says), "{}", mixed.stderr);
    let has_answered = mixed.stdout.contains("eth0");
    assert!(has_answered, "who can be reached: {}", mixed.stdout);

    let completion = ctl.output(&["completion", "bash"])?;
    assert!(completion.contains("prune"));
    Ok(())
}

#[test]
fn captures_of_lines_are_started_shown_verified_and_pulled_as_they_can_be() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let ctl = Capturectl::at(&pair.b, &daemon.socket())?;
    let directory = tempfile::TempDir::new()?;
    let to = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    for (name, kind) in [("text", "text"), ("log", "stdout")] {
        let started = ctl.json(&["start", name, "-i", "eth0", "--to", kind])?;
        assert_eq!(started[0]["spec"]["output"]["kind"], kind);
        // The answer contains the interfaces that the capture is attached to.
        assert_eq!(started[0]["interfaces"][0]["interface"], "eth0");
    }
    for wrong in [
        &["--to", "stdout", "--rotate-size", "1MiB"][..],
        &["--to", "text", "--format", "pcap"],
    ] {
        let mut arguments = vec!["start", "wrong"];
        arguments.extend(wrong);
        let ended = ctl.run(&arguments)?;
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("--to text"), "{}", ended.stderr);
    }
    let frames: Vec<_> = (0..100)
        .map(|number| frame::numbered(number, 100))
        .collect();
    PacketSocket::sender(&pair.a, "eth0")?.send_all(&frames)?;
    for name in ["text", "log"] {
        wrote_all(&ctl.json(&["stop", name])?[0], 100)?;
    }
    let text = ctl.output(&["get", "log"])?;
    assert!(text.contains("the daemon's own output"), "{text}");
    assert_eq!(ctl.json(&["files", "text"])?[0]["format"], "text");
    let verified = ctl.json(&["verify", "text"])?;
    assert_eq!(verified[0]["packets"], 100);
    assert_eq!(verified[0]["good"], true);
    ctl.output(&["pull", "text", "--into", &to("files")])?;
    for (name, said) in [("text", "--into"), ("log", "own output")] {
        let ended = ctl.run(&["pull", name, "-w", &to("out.pcapng")])?;
        assert!(!ended.status.success());
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let left: Vec<_> = std::fs::read_dir(directory.path())?.collect();
    assert_eq!(left.len(), 1, "{left:?}");
    Ok(())
}
