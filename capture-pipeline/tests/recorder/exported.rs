//! Retention and what an exporter has.

use capture_file::{
    checkpoint::{Checkpoint, Series},
    manifest::Manifest,
};
use capture_pipeline::ExportSink;

use super::support::{finish, packets, send, spec, start};

#[test]
fn files_that_a_sink_has_are_removed_first_and_a_sink_that_is_behind_stops_no_removal() {
    let data = tempfile::tempdir().expect("tempdir");
    let state = tempfile::tempdir().expect("tempdir");
    let directory = data.path().join("test");
    // Ten files at a time, under this limit; returns the numbers that are left, those that the sink lacked when they
    // were removed, and the warnings.
    let record = |most: Option<u32>| {
        let mut spec = spec(&directory);
        spec.output.rotation.packets = Some(100);
        spec.output.retention.max_files = most;
        spec.export_sink = Some(ExportSink {
            name: "archive".to_owned(),
            state_dir: state.path().to_owned(),
        });
        let mut recorder = start(&spec);
        let progress = recorder.progress();
        send(&mut recorder, &packets(1_000));
        assert_eq!(finish(recorder).failure, None);
        let text =
            std::fs::read_to_string(directory.join("test.manifest.jsonl")).expect("manifest");
        let files = Manifest::parse(&text).files;
        let numbers: Vec<u64> = files.iter().map(|file| file.sequence).collect();
        (numbers, progress.unexported(), progress.warnings())
    };
    let (numbers, ..) = record(None);
    assert_eq!(numbers.len(), 10);

    let mut checkpoint = Checkpoint::new("archive");
    checkpoint.verified = true;
    let series = Series {
        last: u64::MAX,
        ahead: [2, 4, 6].into(),
        ..Series::default()
    };
    checkpoint.series.insert("test/test".to_owned(), series);
    let text = serde_json::to_vec(&checkpoint).expect("JSON");
    std::fs::write(state.path().join("archive.checkpoint.json"), text).expect("written");

    let (numbers, unexported, warnings) = record(Some(17));
    let expected: Vec<u64> = (1..=20)
        .filter(|number| ![2, 4, 6].contains(number))
        .collect();
    assert_eq!(numbers, expected);
    assert_eq!((unexported, warnings), (0, Vec::new()));

    let (numbers, unexported, warnings) = record(Some(17));
    assert_eq!(numbers, (14..=30).collect::<Vec<_>>());
    assert_eq!(unexported, 10);
    assert_eq!(warnings.len(), 1, "said once: {warnings:?}");
    assert!(
        warnings[0].contains("\"archive\" does not have"),
        "{warnings:?}"
    );
}
