//! The page as a person uses it: the real server, and real Chromium driven by playwright-core.
//!
//! Each test is one path through the page, a module in `paths`. Every path ends with: no error in the console, no
//! violation of the Content-Security-Policy, no request to another server, and nothing serious found by axe-core in the
//! views it passed, light and dark, wide and 360 pixels narrow.

mod chromium;
mod server;
mod traffic;

use anyhow::{Context as _, Result};
use capture_tests::{
    daemon::Daemon,
    gate,
    lab::Lab,
    netns::Pair,
    scene::{numbered_frames, send_through},
};
use serde_json::json;

use chromium::walk;
use server::Server;

/// Packets that are sent through a capture.
const PACKETS: u64 = 500;

#[test]
fn a_newcomer_on_a_machine_without_a_recorder_is_told_what_to_do() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let server = Server::start(&[])?;
    walk("newcomer", &json!({ "base": server.base() }), |_| Ok(()))
}

#[test]
fn a_server_that_goes_away_is_noticed_and_followed_again_when_it_is_back() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let mut server = Server::start(&[])?;
    let given = json!({ "base": server.base() });
    walk("absence", &given, |request| match request {
        "stop the server" => server.stop(),
        "start the server" => server.start_again(),
        other => anyhow::bail!("the path asks for {other:?}"),
    })
}

#[test]
fn quantities_are_read_as_people_write_them_and_an_unknown_count_is_never_zero() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let server = Server::start(&[("CAPTURE_WEB_LIVE", "false")])?;
    walk("quantities", &json!({ "base": server.base() }), |_| Ok(()))
}

#[test]
fn an_uploaded_file_becomes_a_report_whose_findings_lead_to_their_packets() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let server = Server::start(&[("CAPTURE_WEB_LIVE", "false")])?;
    let bad = server.write("incident.pcap", &traffic::bad())?;
    walk(
        "upload",
        &json!({ "base": server.base(), "file": bad }),
        |_| Ok(()),
    )
}

#[test]
fn two_reports_are_compared_searched_and_deleted() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let server = Server::start(&[("CAPTURE_WEB_LIVE", "false")])?;
    let files = [
        server.write("before.pcap", &traffic::bad())?,
        server.write("after.pcap", &traffic::good())?,
    ];
    walk(
        "compare",
        &json!({ "base": server.base(), "files": files }),
        |_| Ok(()),
    )
}

#[test]
fn a_refused_upload_says_what_is_wrong_and_what_to_do() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let server = Server::start(&[("CAPTURE_WEB_LIVE", "false"), ("MAX_UPLOAD_SIZE_MB", "1")])?;
    let given = json!({
        "base": server.base(),
        "none": server.write("cat.gif", b"GIF89a is no capture")?,
        "large": server.write("large.pcap", &vec![0; 1_200_000])?,
    });
    walk("refused", &given, |_| Ok(()))
}

#[test]
fn names_with_markup_and_invisible_characters_are_shown_and_do_nothing() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let server = Server::start(&[("CAPTURE_WEB_LIVE", "false")])?;
    let file = server.write("hostile.pcap", &traffic::hostile())?;
    walk(
        "names",
        &json!({ "base": server.base(), "file": file }),
        |_| Ok(()),
    )
}

#[test]
fn everything_on_the_way_to_a_report_works_with_the_keyboard_alone() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let server = Server::start(&[("CAPTURE_WEB_LIVE", "false")])?;
    let file = server.write("incident.pcap", &traffic::bad())?;
    walk(
        "keyboard",
        &json!({ "base": server.base(), "file": file }),
        |_| Ok(()),
    )
}

#[test]
fn whoever_logs_in_sees_own_reports_and_a_shared_link_needs_no_account() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let (server, password) = Server::start_with_accounts(&["anna", "bert"])?;
    let file = server.write("incident.pcap", &traffic::bad())?;
    let given = json!({ "base": server.base(), "file": file, "password": password });
    walk("login", &given, |_| Ok(()))
}

#[test]
fn a_capture_is_started_watched_changed_stopped_analysed_and_deleted() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let socket = daemon.socket();
    let socket = socket.to_str().context("a path that is not UTF-8")?;
    let server = Server::start(&[("CAPTURE_WEB_SOCKET", socket)])?;
    let frames = numbered_frames(0..PACKETS);
    let given = json!({ "base": server.base(), "packets": PACKETS });
    walk("capture", &given, |request| match request {
        "send packets" => send_through(&pair, &frames),
        other => anyhow::bail!("the path asks for {other:?}"),
    })
}

#[test]
fn a_capture_through_a_coordinator_goes_the_same_way() -> Result<()> {
    if !chromium::is_there()? {
        return Ok(());
    }
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (lab, pair) = (Lab::new()?, Pair::new()?);
    // All programs are at one end, so that only the packets that are sent pass its interface.
    let _daemon = lab.daemon(&pair.b, "127.0.0.1", "right")?;
    let list = "[[node]]\nname = \"right\"\naddress = \"127.0.0.1\"\n";
    let mut coordinator = lab.coordinator_of(&pair.b, "127.0.0.1:9444", list)?;
    coordinator.wait_for_stderr("connected")?;
    let own = lab.client("web")?;
    own.write(lab.directory.path(), "web")?;
    let files = ["ca.pem", "web.pem", "web.key"].map(|name| lab.path(name));
    pair.b.run(|| {
        let server = Server::start(&[
            ("CAPTURE_WEB_COORDINATOR", "127.0.0.1:9444"),
            ("CAPTURE_WEB_CACERT", &files[0]),
            ("CAPTURE_WEB_CERT", &files[1]),
            ("CAPTURE_WEB_KEY", &files[2]),
            ("CAPTURE_WEB_TLS_SERVER_NAME", "localhost"),
        ])?;
        let frames = numbered_frames(0..PACKETS);
        let given = json!({ "base": server.base(), "packets": PACKETS });
        walk("capture", &given, |request| match request {
            "send packets" => send_through(&pair, &frames),
            other => anyhow::bail!("the path asks for {other:?}"),
        })
    })
}
