//! Builds the eBPF object, which the library embeds.

use anyhow::{Context as _, Result};

#[expect(unsafe_code, reason = "a build script is one thread; see below")]
fn main() -> Result<()> {
    // The BPF target has no prebuilt `core`, and building one is an unstable flag of cargo, which a
    // stable toolchain takes only under this variable. It is set here and not in cargo's
    // configuration, so that it reaches nothing but the eBPF crates.
    // SAFETY: no other thread runs in this build script yet.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    // What the inner cargo compiles would all be shown as warnings; its errors still are.
    // SAFETY: as above.
    unsafe { std::env::set_var("CARGO_TERM_QUIET", "true") };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../capture-ebpf");
    aya_build::build_ebpf(
        [aya_build::Package {
            name: "capture-ebpf",
            root_dir: root,
            ..Default::default()
        }],
        aya_build::Toolchain::Custom(&toolchain()?),
    )
    .context("building the eBPF programs (`cargo xtask setup` installs what it takes)")
}

/// The toolchain this build runs with.
fn toolchain() -> Result<String> {
    std::env::var("RUSTUP_TOOLCHAIN")
        .context("RUSTUP_TOOLCHAIN is not set: build with rustup's cargo")
}
