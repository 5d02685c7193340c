//! What a manifest says of the recorder's own loss.

use capture_analysis::{
    Analysis, Hooks, Settings, Source, analyse,
    report::{LossSpan, RecorderLoss, Report},
};

use crate::{
    bad_input::handshake,
    support::{ACK, Frames, PSH, one},
};

fn with_manifest(frames: &Frames, spans: Vec<LossSpan>) -> Report {
    let lost = spans.iter().map(|span| span.lost).sum();
    let mut hooks = Hooks {
        recorder: Some(RecorderLoss {
            source: "manifest".to_owned(),
            lost,
            spans,
        }),
        ..Hooks::default()
    };
    let bytes = frames.pcap();
    let source = Source {
        name: "file".to_owned(),
        input: Box::new(&bytes[..]),
    };
    analyse(
        Analysis::new(&Settings::default()),
        [("file".to_owned(), Ok(source))],
        &mut hooks,
    )
}

#[test]
fn what_a_manifest_says_of_loss_explains_findings_of_its_time_only_and_is_drawn() {
    let gap = handshake()
        .client(PSH | ACK, 1, 1, &[1; 100])
        .client(PSH | ACK, 501, 1, &[1; 100]);
    let start = gap.frames[0].0;
    let span = |from_ns, to_ns| LossSpan {
        from_ns,
        to_ns,
        lost: 7,
        interface: Some("eth0".to_owned()),
    };
    let at_that_time = with_manifest(&gap, vec![span(start, start + 10_000_000)]);
    let explanation = |report: &Report| {
        one(report, "tcp-missing-segments")
            .recorder_loss
            .clone()
            .expect("known")
    };
    assert!(explanation(&at_that_time).contains("lost 7 packets"));
    let mut page = String::new();
    capture_analysis::render::html(&at_that_time, 10, &mut page).expect("a page");
    assert!(page.contains("class=\"loss\"") && page.contains("Red bands"));
    let before = with_manifest(&gap, vec![span(start - 10_000_000, start - 5_000_000)]);
    assert!(explanation(&before).starts_with("no: the recorder lost nothing at that time"));
}
