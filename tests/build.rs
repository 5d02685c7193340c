//! Builds the load generator's eBPF object, which the library embeds.

use anyhow::{Context as _, Result};

#[expect(unsafe_code, reason = "a build script is one thread; see below")]
fn main() -> Result<()> {
    // As in capture-daemon's build script: building `core` for the BPF target is an unstable flag of
    // cargo, which a stable toolchain takes only under this variable.
    // SAFETY: no other thread runs in this build script yet.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    // What the inner cargo compiles would all be shown as warnings; its errors still are.
    // SAFETY: as above.
    unsafe { std::env::set_var("CARGO_TERM_QUIET", "true") };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/generator-ebpf");
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN")
        .context("RUSTUP_TOOLCHAIN is not set: build with rustup's cargo")?;
    aya_build::build_ebpf(
        [aya_build::Package {
            name: "generator-ebpf",
            root_dir: root,
            ..Default::default()
        }],
        aya_build::Toolchain::Custom(&toolchain),
    )
    .context("building the load generator's program (`cargo xtask setup` installs what it takes)")
}
