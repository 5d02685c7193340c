//! A capture never harms the traffic it watches, nor other programs.

use anyhow::Result;
use aya::programs::{
    LinkOrder, TcAttachType,
    tc::{NlOptions, TcAttachOptions},
};
use capture_tests::{
    attached, compare, gate,
    generator::Counter,
    netns::{Namespace, Pair},
    recorder::Recorder,
    scene::{numbered_frames, send_through, transfer},
};
use tempfile::TempDir;

const METHODS: [&str; 2] = ["tcx", "clsact"];

/// Attaches a program of somebody else to packets that `namespace` receives on eth0.
fn attach(counter: &mut Counter, namespace: &Namespace, options: TcAttachOptions) -> Result<()> {
    namespace.run(|| {
        counter
            .program()?
            .attach_with_options("eth0", TcAttachType::Ingress, options)?;
        Ok(())
    })
}

fn clsact(namespace: &Namespace, priority: u16) -> Result<TcAttachOptions> {
    // Either this or the recorder may have created it already.
    let _exists = namespace.tc("qdisc add dev eth0 clsact");
    Ok(TcAttachOptions::Netlink(NlOptions {
        priority,
        ..NlOptions::default()
    }))
}

#[test]
fn traffic_arrives_complete_and_unchanged_under_a_capture() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    for method in METHODS {
        let pair = Pair::new()?;
        let directory = TempDir::new()?;
        // On both ends, so that each packet passes an egress and an ingress program.
        let arguments = ["-i", "eth0", "--attach", method];
        let sending = Recorder::start(&pair.a, &directory.path().join("a"), &arguments)?;
        let receiving = Recorder::start(&pair.b, &directory.path().join("b"), &arguments)?;
        let frames = numbered_frames(0..10_000);
        send_through(&pair, &frames)?;
        let (sent, received) = (sending.stop()?, receiving.stop()?);
        compare::same_frames(&sent.packets()?, &frames)?;
        compare::same_frames(&received.packets()?, &frames)?;
        sent.lost_nothing(frames.len() as u64)?;
        received.lost_nothing(frames.len() as u64)?;
    }
    Ok(())
}

#[test]
fn a_tcp_stream_arrives_complete_while_the_ring_overflows() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let arguments = ["-i", "eth0", "-B", "128KiB", "--compress", "zstd:19"];
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    transfer(&pair.a, &pair.b, "10.0.0.2:5001", 64 << 20)?;
    let recorded = recorder.stop()?;
    recorded.packets()?;
    let ledger = recorded.summary.total;
    assert!(ledger.ring_full > 0, "nothing was lost: {ledger:?}");
    Ok(())
}

#[test]
fn programs_of_others_before_and_behind_ours_still_run() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let frames = numbered_frames(0..500);
    for method in METHODS {
        let pair = Pair::new()?;
        let directory = TempDir::new()?;
        let mut counters = (0..4)
            .map(|_| Counter::load())
            .collect::<Result<Vec<_>>>()?;
        let [early, early_filter, before, late_filter] = &mut counters[..] else {
            anyhow::bail!("four were loaded");
        };
        // Two that were attached already: the recorder is placed before them.
        let tcx_last = TcAttachOptions::TcxOrder(LinkOrder::last());
        attach(early, &pair.b, tcx_last)?;
        attach(early_filter, &pair.b, clsact(&pair.b, 10)?)?;
        let arguments = ["-i", "eth0", "--attach", method];
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        // Two that are attached later, one of them before the recorder.
        let tcx_first = TcAttachOptions::TcxOrder(LinkOrder::first());
        attach(before, &pair.b, tcx_first)?;
        attach(late_filter, &pair.b, clsact(&pair.b, 20)?)?;
        send_through(&pair, &frames)?;
        let recorded = recorder.stop()?;
        recorded.lost_nothing(frames.len() as u64)?;
        compare::same_frames(&recorded.packets()?, &frames)?;
        for (position, counter) in counters.iter().enumerate() {
            let count = counter.count()?;
            assert_eq!(count, frames.len() as u64, "{method}: program {position}");
        }
        // And they still do after the recorder is gone.
        send_through(&pair, &frames)?;
        for counter in &counters {
            assert_eq!(counter.count()?, 2 * frames.len() as u64);
        }
    }
    Ok(())
}

#[test]
fn the_recorder_comes_before_programs_that_were_there() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let mut counter = Counter::load()?;
    attach(
        &mut counter,
        &pair.b,
        TcAttachOptions::TcxOrder(LinkOrder::first()),
    )?;
    let recorder = Recorder::start(&pair.b, directory.path(), &["-i", "eth0"])?;
    let programs = attached::tcx_programs(&pair.b, "eth0")?;
    let ingress: Vec<_> = programs
        .iter()
        .filter(|program| program.starts_with("ingress"))
        .collect();
    assert_eq!(ingress.len(), 2, "{programs:?}");
    assert_eq!(ingress[1], "ingress count", "{programs:?}");
    recorder.stop()?.lost_nothing(0)
}

#[test]
fn nothing_stays_attached_when_a_capture_ends_and_when_it_is_killed() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let arguments = ["-i", "eth0", "--attach", "tcx"];
    for kill in [false, true] {
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        assert_eq!(attached::programs(&pair.b, "eth0")?.len(), 2);
        if kill {
            recorder.kill()?;
        } else {
            recorder.stop()?.lost_nothing(0)?;
        }
        assert_eq!(attached::programs(&pair.b, "eth0")?, [""; 0]);
        send_through(&pair, &numbered_frames(0..100))?;
    }
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    send_through(&pair, &numbered_frames(0..100))?;
    recorder.stop()?.lost_nothing(100)
}

#[test]
fn filters_that_a_killed_capture_left_are_removed_and_those_of_others_stay() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let frames = numbered_frames(0..100);
    let mut counter = Counter::load()?;
    attach(&mut counter, &pair.b, clsact(&pair.b, 10)?)?;
    let start = |name: &str| {
        let arguments = ["-i", "eth0", "--attach", "clsact", "--name", name];
        Recorder::start(&pair.b, &directory.path().join(name), &arguments)
    };
    let filters = || attached::clsact_filters(&pair.b, "eth0");

    let alive = start("alive")?;
    assert_eq!(filters()?.len(), 3);
    start("killed")?.kill()?;
    assert_eq!(filters()?.len(), 5, "{:?}", filters()?);
    // The leftovers disturb nothing.
    send_through(&pair, &frames)?;
    assert_eq!(counter.count()?, 100);

    let next = start("next")?;
    let after = filters()?;
    assert_eq!(after.len(), 5, "{after:?}");
    assert!(
        !after.iter().any(|filter| filter.contains("killed")),
        "{after:?}"
    );
    send_through(&pair, &frames)?;
    next.stop()?.lost_nothing(100)?;
    alive.stop()?.lost_nothing(200)?;
    assert_eq!(counter.count()?, 200);

    let left = filters()?;
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("count"), "{left:?}");
    Ok(())
}

#[test]
fn a_program_that_comes_before_the_recorder_is_told_of_as_long_as_it_is_there() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for method in METHODS {
        let pair = Pair::new()?;
        let directory = TempDir::new()?;
        let mut counter = Counter::load()?;
        let start = || {
            let arguments = ["-i", "eth0", "--attach", method];
            Recorder::start(&pair.b, directory.path(), &arguments)
        };
        let told = "interface eth0 ingress: count run before the recorder";

        let mut recorder = start()?;
        if method == "tcx" {
            let first = TcAttachOptions::TcxOrder(LinkOrder::first());
            attach(&mut counter, &pair.b, first)?;
        } else {
            // The same priority: the kernel places the newest filter first.
            attach(&mut counter, &pair.b, clsact(&pair.b, 1)?)?;
        }
        recorder.process().wait_for_stderr(told)?;
        send_through(&pair, &numbered_frames(0..10))?;
        let recorded = recorder.stop()?;
        recorded.lost_nothing(10)?;
        let warnings = &recorded.summary.warnings;
        assert!(
            warnings.len() == 1 && warnings[0].starts_with(told),
            "{method}: {warnings:?}"
        );

        // Ours is placed before an existing one: no warning.
        let recorded = start()?.stop()?;
        recorded.lost_nothing(0)?;
        assert_eq!(recorded.summary.warnings, [""; 0], "{method}");

        let mut recorder = start()?;
        if method == "tcx" {
            let mut other = Counter::load()?;
            let first = TcAttachOptions::TcxOrder(LinkOrder::first());
            attach(&mut other, &pair.b, first)?;
            recorder.process().wait_for_stderr(told)?;
            drop(other);
            recorder.process().wait_for_stderr(
                "interface eth0 ingress: the recorder is the first program again",
            )?;
            let recorded = recorder.stop()?;
            assert_eq!(recorded.summary.warnings, [""; 0]);
        } else {
            recorder.stop()?;
        }
    }
    Ok(())
}
