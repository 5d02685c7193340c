//! Builds the load generator's eBPF object, which the library embeds.

include!("../xtask/bpf_build.rs");

fn main() -> Result<()> {
    build("generator-ebpf", "generator", &["tests/generator-ebpf"])
}
