//! The recorder's program.
fn main() {}
