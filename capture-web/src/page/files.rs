//! The files of the page, as they are in the program.

/// The page itself, which is served at `/`.
pub(super) const INDEX: &str = "index.html";

/// A table of paths below `capture-web/page`, and their content.
macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("../../page/", $path)))),*]
    };
}

/// Every file; a test compares the table with the directory.
pub(super) const FILES: &[(&str, &[u8])] = files![
    "index.html"
    "app.css"
    "app.js"
    "icon.svg"
    "parts/api.js"
    "parts/dom.js"
    "parts/feedback.js"
    "parts/forms.js"
    "parts/ledger.js"
    "parts/live.js"
    "parts/plot.js"
    "parts/pods.js"
    "parts/quantities.js"
    "parts/router.js"
    "parts/state.js"
    "parts/table.js"
    "parts/units.js"
    "parts/upload.js"
    "report/applications.js"
    "report/contents.js"
    "report/conversations.js"
    "report/findings.js"
    "report/overview.js"
    "report/rates.js"
    "vendor/uPlot.LICENSE"
    "vendor/uPlot.min.css"
    "vendor/uPlot.min.js"
    "views/analyse.js"
    "views/capture.js"
    "views/captures.js"
    "views/compare.js"
    "views/counts.js"
    "views/files.js"
    "views/login.js"
    "views/report.js"
    "views/reports.js"
    "views/start.js"
];
