//! Set-up, build, run, test, lint and bench.
fn main() {}
