//! The published schema agrees with the types.

use std::{fs, path::Path};

#[test]
fn the_published_schema_is_that_of_the_report() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/capture.report.v1.schema.json");
    let schema = capture_analysis::report::schema().expect("a schema");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &schema).expect("written");
    }
    let published = fs::read_to_string(&path).expect("the published schema");
    assert!(
        published == schema,
        "docs/capture.report.v1.schema.json is not that of the types: BLESS=1 cargo test -p \
         capture-analysis --test made writes it; a change that readers notice needs another version"
    );
}
