//! With an expression the same packets as tcpdump with the same expression.

use anyhow::{Context as _, Result};
use capture_tests::{
    capture_file::Direction, compare, frame, gate, netns::Pair, packet_socket::PacketSocket,
    recorder::Recorder, tcpdump::Tcpdump,
};
use tempfile::TempDir;

use crate::same_packets::every_kind_of_frame;

/// Matches every expression below: what ends the traffic.
fn last() -> Vec<u8> {
    frame::numbered(u64::MAX, 1000)
}

#[test]
fn an_expression_records_what_tcpdump_records_with_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let frames = every_kind_of_frame();
    for expression in [
        "ip",
        "udp",
        "host 10.0.0.99",
        "udp port 4001 or arp",
        "not ip6 and not arp",
        "greater 900 or vlan",
        "ip[8] = 64 or icmp",
        "ether[0] & 1 = 0",
        "len > 60",
    ] {
        // tcpdump tells directions apart before its filter, as the recorder does.
        let peer = Tcpdump::start(&pair.b, "eth0", &["-Q", "in", expression])?;
        let directory = TempDir::new()?;
        let arguments = ["-i", "eth0", "-Q", "in", expression];
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        let sender = PacketSocket::sender(&pair.a, "eth0")?;
        sender.send_all(&frames)?;
        sender.send(&last())?;
        let theirs = peer.stop_after_frames(&[&last()])?;
        let recorded = recorder.stop()?;
        let case = || expression.to_owned();
        compare::same_packets(&recorded.packets()?, &theirs).with_context(case)?;
        let ledger = recorded.summary.total;
        assert_eq!(
            ledger.seen,
            frames.len() as u64 + 1,
            "{expression}: {ledger:?}"
        );
        assert_eq!(
            ledger.written,
            theirs.len() as u64,
            "{expression}: {ledger:?}"
        );
        assert_eq!(
            ledger.filtered,
            ledger.seen - ledger.written,
            "{expression}"
        );
        assert!(ledger.filtered > 0, "{expression} matched everything");
        for packet in recorded.packets()? {
            assert_eq!(packet.direction, Some(Direction::In));
        }
    }
    Ok(())
}
