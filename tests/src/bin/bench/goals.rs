//! The goals of the project, and whether they were reached here.

use serde::Serialize;

use crate::{Results, analyze, control, export, filter, loss, peer::Peer, web};

/// One goal.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Goal {
    /// The goal.
    pub(crate) goal: String,
    /// The measured value.
    pub(crate) measured: String,
    /// Whether the goal is reached.
    pub(crate) reached: bool,
}

/// Evaluates the results; a goal without a measurement is skipped.
pub(crate) fn judge(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    goals.extend(no_loss(results));
    for (peer, length, share) in [
        (Peer::CapturedDefault, 64, 0.25),
        (Peer::CapturedDefault, 1514, 0.25),
        (Peer::Captured, 64, 0.25),
        (Peer::Captured, 1514, 0.125),
    ] {
        goals.extend(cpu(results, peer, length, share));
    }
    for length in [64, 1514] {
        goals.extend(way(results, length));
    }
    goals.extend(memory(results));
    goals.extend(filter_over_empty(results));
    for name in ["tcp port 443", "20 terms"] {
        goals.extend(no_slower_than_classic(results, name));
    }
    goals.extend(large_set(results));
    for (request, most) in [
        (control::start_name(), 1000.0),
        (control::list_name(), 20.0),
    ] {
        goals.extend(within(results, &request, most));
    }
    goals.extend(analysis(results));
    goals.extend(documents(results));
    goals.extend(web_server(results));
    goals
}

/// Packets per core and the ratio to capinfos by CPU time; the ratio to tshark by wall time: tshark uses one
/// thread, the analysis two.
fn analysis(results: &Results) -> Vec<Goal> {
    let of = |program| {
        let row = results.analyze.iter().find(|row| row.program == program)?;
        Some((f64::from(row.packets), row.cpu_seconds, row.seconds))
    };
    let (Some((packets, ours, our_time)), Some((_, tshark, their_time)), Some((_, capinfos, _))) = (
        of(analyze::OURS),
        of(analyze::TSHARK),
        of(analyze::CAPINFOS),
    ) else {
        return Vec::new();
    };
    let goal = |goal: &str, measured: String, reached| Goal {
        goal: goal.to_owned(),
        measured,
        reached,
    };
    let memory = |program| {
        let row = results.analyze.iter().find(|row| row.program == program);
        row.map_or(f64::NAN, |row| row.memory as f64 / f64::from(1 << 20))
    };
    let (cut, longer) = (memory(analyze::CUT), memory(analyze::LONGER));
    let many = memory(analyze::MANY_FLOWS);
    vec![
        goal(
            "analysis: at most 256 MiB at 100,000 live flows",
            format!("{many:.0} MiB"),
            many <= 256.0,
        ),
        goal(
            "analysis: no more memory for four times as many packets",
            format!("{longer:.1} MiB against {cut:.1} MiB"),
            longer <= cut * 1.1,
        ),
        goal(
            "analysis: a million packets per second and core",
            format!("{:.2} million", packets / ours / 1e6),
            packets / ours >= 1e6,
        ),
        goal(
            "analysis: 20 times as fast as tshark's conversations",
            format!(
                "{:.1} times; by CPU time {:.1} times",
                their_time / our_time,
                tshark / ours
            ),
            their_time >= 20.0 * our_time,
        ),
        goal(
            "analysis: at most 3 times what capinfos takes",
            format!("{:.2} times", ours / capinfos),
            ours <= 3.0 * capinfos,
        ),
    ]
}

/// Packet documents against tshark's by wall time, flow documents by CPU time, and the memory of an upload.
fn documents(results: &Results) -> Vec<Goal> {
    let of = |program| results.export.iter().find(|row| row.program == program);
    let (Some(tshark), Some(same), Some(flows), Some(longer)) = (
        of(export::TSHARK),
        of(export::SAME),
        of(export::FLOWS),
        of(export::LONGER),
    ) else {
        return Vec::new();
    };
    let times = tshark.seconds / same.seconds;
    let rate = f64::from(flows.documents) / flows.cpu_seconds;
    let memory = longer.memory as f64 / f64::from(1 << 20);
    let goal = |goal: &str, measured: String, reached| Goal {
        goal: goal.to_owned(),
        measured,
        reached,
    };
    vec![
        goal(
            "export: 50 times as many packet documents per second as tshark -T ek",
            format!("{times:.0} times"),
            times >= 50.0,
        ),
        goal(
            "export: 250,000 flow documents per second and core",
            format!("{rate:.0}"),
            rate >= 250_000.0,
        ),
        goal(
            "export: at most 64 MiB while documents are uploaded, whatever the size of the file",
            format!("{memory:.0} MiB"),
            memory <= 64.0,
        ),
    ]
}

/// The largest file against tshark by wall time, and the server's memory, over which uploads only pass.
fn web_server(results: &Results) -> Vec<Goal> {
    const MOST: f64 = 64.0;
    let files = &results.web.files;
    let of = |program| files.iter().rfind(|row| row.program == program);
    let (Some(ours), Some(tshark)) = (of(web::OURS), of(web::TSHARK)) else {
        return Vec::new();
    };
    let together = results.web.together.iter();
    let peaks = files.iter().map(|row| row.server_memory);
    let peaks = peaks.chain(together.map(|row| row.server_memory));
    let memory = peaks.flatten().max().unwrap_or_default() as f64 / f64::from(1 << 20);
    vec![
        Goal {
            goal: format!(
                "web: a report on {:.0} MB, upload included, sooner than tshark's tables",
                ours.bytes as f64 / 1e6
            ),
            measured: format!("{:.2} s against {:.2} s", ours.seconds, tshark.seconds),
            reached: ours.seconds <= tshark.seconds,
        },
        Goal {
            goal: format!("web: at most {MOST} MiB of the server, whatever is uploaded"),
            measured: format!("{memory:.0} MiB"),
            reached: memory <= MOST,
        },
    ]
}

/// The rate of 1,514 byte packets nearest to 15 Gbit/s.
fn is_fifteen_gigabits(row: &&loss::Row) -> bool {
    let asked = row.asked.unwrap_or(0) as f64 * 1514.0 * 8.0;
    row.length == 1514 && (14.5e9..15.5e9).contains(&asked)
}

fn no_loss(results: &Results) -> Option<Goal> {
    let of = |peer| {
        let mut rows = results.loss.iter().filter(is_fifteen_gigabits);
        rows.find(|row| row.recorder == peer)
    };
    let (ours, theirs) = (of(Peer::Captured)?, of(Peer::Tcpdump)?);
    let offered = ours.offered * 1514.0 * 8.0 / 1e9;
    Some(Goal {
        goal: "nothing lost at 15 Gbit/s of 1514 bytes, to a disk, uncompressed".to_owned(),
        measured: format!(
            "{:.3} % at {offered:.1} Gbit/s; tcpdump {:.1} %",
            ours.lost * 100.0,
            theirs.lost * 100.0
        ),
        reached: ours.lost == 0.0 && offered >= 14.9,
    })
}

/// CPU per packet compared with tcpdump's, at the rate with our worst ratio.
fn cpu(results: &Results, peer: Peer, length: u32, share: f64) -> Option<Goal> {
    let of = |peer| {
        let rows = results.loss.iter();
        rows.filter(move |row| row.length == length && row.recorder == peer)
    };
    let pairs = of(peer).filter_map(|ours| {
        let theirs = of(Peer::Tcpdump).find(|theirs| theirs.asked == ours.asked)?;
        let (our, their) = (ours.cpu_per_million?, theirs.cpu_per_million?);
        Some((our / their, our, their, ours.offered / 1e6))
    });
    let (ratio, our, their, offered) = pairs.max_by(|one, other| one.0.total_cmp(&other.0))?;
    Some(Goal {
        goal: format!(
            "{}: at most {share} of tcpdump's CPU per packet of {length} bytes, at every rate",
            peer.name()
        ),
        measured: format!(
            "at most {ratio:.3}: {our:.4} s against {their:.4} s per million at {offered:.2} Mpps"
        ),
        reached: ratio <= share,
    })
}

fn way(results: &Results, length: u32) -> Option<Goal> {
    let added = |peer| {
        let mut rows = results.way.iter();
        let row = rows.find(|row| row.matching && row.length == length && row.recorder == peer)?;
        Some(row.added)
    };
    let (our, their) = (added(Peer::Captured)?, added(Peer::Tcpdump)?);
    Some(Goal {
        goal: format!("at most 0.7 of what tcpdump adds to the way of a packet of {length} bytes"),
        measured: format!("{our:.0} ns against {their:.0} ns: {:.2}", our / their),
        reached: our <= 0.7 * their,
    })
}

/// Response time within this many milliseconds.
fn within(results: &Results, request: &str, most: f64) -> Option<Goal> {
    let row = results.control.iter().find(|row| row.request == request)?;
    Some(Goal {
        goal: format!("p99 of {request} within {most} ms"),
        measured: format!("{:.1} ms", row.p99),
        reached: row.p99 <= most,
    })
}

fn filter_named<'a>(results: &'a Results, name: &str) -> Option<&'a filter::Row> {
    results.filter.iter().find(|row| row.filter == name)
}

fn filter_over_empty(results: &Results) -> Option<Goal> {
    const MOST: f64 = 20.0;
    let over = filter_named(results, "tcp port 443")?.no_match.over_empty;
    Some(Goal {
        goal: format!("at most {MOST} ns over an empty program where tcp port 443 does not match"),
        measured: format!("{over:.0} ns"),
        reached: over <= MOST,
    })
}

/// A matching and a non-matching packet, in two ways of measuring the cost over an empty program.
fn no_slower_than_classic(results: &Results, name: &str) -> Option<Goal> {
    let row = filter_named(results, name)?;
    let (no_match, matching) = (row.no_match, row.matching?);
    let (classic, classic_matching) = (no_match.classic?, matching.classic?);
    Some(Goal {
        goal: format!("{name}: no slower than the kernel's classic socket filter"),
        measured: format!(
            "{:.0} ns against {classic:.0} ns, matching {:.0} ns against {classic_matching:.0} ns",
            no_match.over_empty, matching.over_empty
        ),
        reached: no_match.over_empty <= classic && matching.over_empty <= classic_matching,
    })
}

fn large_set(results: &Results) -> Option<Goal> {
    // The kernel reports whole nanoseconds, for the filter and for the empty program.
    const RESOLUTION: f64 = 2.0;
    let small = filter_named(results, "10 addresses")?;
    let large = filter_named(results, "10,000 addresses")?;
    let no_match = (large.no_match.over_empty, small.no_match.over_empty);
    let matching = (large.matching?.over_empty, small.matching?.over_empty);
    Some(Goal {
        goal: "10,000 addresses cost at most 1.5 times what 10 cost".to_owned(),
        measured: format!(
            "{:.0} ns against {:.0} ns, matching {:.0} ns against {:.0} ns",
            no_match.0, no_match.1, matching.0, matching.1
        ),
        reached: [no_match, matching]
            .iter()
            .all(|(large, small)| *large <= 1.5 * small + RESOLUTION),
    })
}

fn memory(results: &Results) -> Option<Goal> {
    const MOST: u64 = 64 << 20;
    let rows = results
        .loss
        .iter()
        .filter(|row| !matches!(row.recorder, Peer::Tcpdump | Peer::Dumpcap));
    let peak = rows.max_by_key(|row| row.memory)?;
    Some(Goal {
        goal: "at most 64 MiB of memory beside the ring".to_owned(),
        measured: format!(
            "{:.1} MiB ({})",
            peak.memory as f64 / f64::from(1 << 20),
            peak.recorder.name()
        ),
        reached: peak.memory <= MOST,
    })
}
