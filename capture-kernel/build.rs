//! Builds the eBPF object, which the library embeds.

include!("../xtask/bpf_build.rs");

fn main() -> Result<()> {
    let sources = ["capture-ebpf", "capture-common"];
    build("capture-ebpf", "capture", &sources)
}
