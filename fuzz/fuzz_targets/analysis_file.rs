//! Any bytes as a capture file: the result is a report and its pages, and nothing else happens.
#![no_main]

use std::io::Cursor;

use capture_analysis::{Analysis, Hooks, Settings, Source, analyse, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let source = Source {
        name: "fuzzed".to_owned(),
        input: Box::new(Cursor::new(bytes)),
    };
    let files = [("fuzzed".to_owned(), Ok(source))];
    let report = analyse(
        Analysis::new(&Settings::default()),
        files,
        &mut Hooks::default(),
    );
    rendered(&report);
});

fn rendered(report: &capture_analysis::report::Report) {
    let mut page = String::new();
    render::html(report, 10, &mut page).expect("a page");
    assert!(!page.contains("<script"));
    let terminal = render::terminal(report, 10);
    assert!(!terminal.contains(|character: char| character.is_control() && character != '\n'));
    for table in render::tables(report) {
        table.write(&mut std::io::sink()).expect("a table");
    }
}
