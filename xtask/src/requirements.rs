//! The requirements of each task, and how to check for them.
//!
//! xtask checks for the file and not for the package: a compiler or library that was installed another
//! way works as well, and no package manager has to be started.

use std::path::PathBuf;

use crate::command::{command, output};
use crate::python;

/// A purpose of setting up a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Build,
    Test,
    /// The Kubernetes cluster of the tests.
    Cluster,
    Bench,
    Lint,
    Fuzz,
}

/// A Debian package, and how to check that its content is installed.
#[derive(Debug)]
pub(crate) struct Requirement {
    pub(crate) package: &'static str,
    pub(crate) reason: &'static str,
    proof: Proof,
    purposes: &'static [Purpose],
}

#[derive(Debug)]
enum Proof {
    Program(&'static str),
    Header(&'static str),
    Library(&'static str),
    File(&'static str),
    /// Checked only until the Python environment that needs it has been created.
    PythonModule(&'static str),
}

/// The file name of the LLVM that bpf-linker is linked with; rustc 1.95 uses LLVM 22.1.
pub(crate) const LLVM_LIBRARY: &str = "libLLVM.so.22.1";
/// The package that provides [`LLVM_LIBRARY`].
pub(crate) const LLVM_PACKAGE: &str = "libllvm22";

use Purpose::{Bench, Build, Cluster, Fuzz, Lint, Test};

const EVERY: &[Purpose] = &[Build, Test, Cluster, Bench, Lint, Fuzz];

#[rustfmt::skip]
const REQUIREMENTS: &[Requirement] = &[
    needs("gcc", Proof::Program("cc"), "the linker, and the compiler of ring", EVERY),
    needs("libc6-dev", Proof::Header("stdlib.h"), "headers and start files of the C library", EVERY),
    needs("libpcap-dev", Proof::Header("pcap/pcap.h"), "compiles pcap-filter expressions", EVERY),
    needs("libzstd-dev", Proof::Header("zstd.h"), "compresses capture files", EVERY),
    needs("pkg-config", Proof::Program("pkg-config"), "finds libzstd", EVERY),
    needs("protobuf-compiler", Proof::Program("protoc"), "compiles the gRPC API", EVERY),
    needs("libprotobuf-dev", Proof::Header("google/protobuf/timestamp.proto"), "the types that the gRPC API builds on", EVERY),
    needs("ca-certificates", Proof::File("/etc/ssl/certs/ca-certificates.crt"), "authorities, for the images of the exporter and the web page", &[Build, Test, Cluster]),
    needs("netbase", Proof::File("/etc/services"), "names of ports and protocols in expressions", EVERY),
    needs(LLVM_PACKAGE, Proof::Library(LLVM_LIBRARY), "the LLVM that bpf-linker links with", EVERY),
    needs("npm", Proof::Program("npm"), "installs buf, which checks the gRPC API, Helm, and what drives the browser", &[Lint, Cluster, Test]),
    needs("nodejs", Proof::Program("node"), "runs the tests of the web page", &[Test]),
    needs("chromium", Proof::Program("chromium"), "the browser of these tests", &[Test]),
    needs("g++", Proof::Program("c++"), "compiles the fuzzing engine", &[Fuzz]),
    needs("iproute2", Proof::Program("ip"), "network namespaces, links, qdiscs", &[Test, Bench, Cluster]),
    needs("tcpdump", Proof::Program("tcpdump"), "the recorder to compare with", &[Test, Bench]),
    needs("tshark", Proof::Program("tshark"), "reads capture files", &[Test]),
    needs("wireshark-common", Proof::Program("capinfos"), "checks capture files; provides dumpcap", &[Test, Bench]),
    needs("python3-venv", Proof::PythonModule("ensurepip"), "a gRPC client to test with", &[Test]),
    needs("nginx-light", Proof::Program("nginx"), "TLS and logins in front of a search server", &[Test]),
    needs("postgresql", Proof::Program("pg_ctlcluster"), "the database of several replicas of the web server", &[Test]),
    needs("qemu-system-x86", Proof::Program("qemu-system-x86_64"), "boots older kernels", &[Test]),
    needs("busybox-static", Proof::Program("busybox"), "userland for these kernels", &[Test]),
    needs("openssl", Proof::Program("openssl"), "RSA keys of service accounts", &[Test]),
    needs("openssh-server", Proof::File("/usr/sbin/sshd"), "an SFTP server to export to", &[Test]),
    needs("dpkg-dev", Proof::Program("dpkg-source"), "unpacks the sources of Kubernetes, to test with", &[Cluster]),
    needs("containerd", Proof::Program("containerd"), "runs the containers of the test cluster", &[Cluster]),
    needs("runc", Proof::Program("runc"), "starts these containers", &[Cluster]),
    needs("containernetworking-plugins", Proof::File("/usr/lib/cni/bridge"), "networks of pods", &[Cluster]),
    needs("iptables", Proof::Program("iptables"), "Services of the test cluster", &[Cluster]),
    needs("conntrack", Proof::Program("conntrack"), "connections of these Services", &[Cluster]),
    needs("socat", Proof::Program("socat"), "connections into the test cluster", &[Cluster]),
    needs("iperf3", Proof::Program("iperf3"), "TCP streams with GSO", &[Bench]),
];

const fn needs(
    package: &'static str,
    proof: Proof,
    reason: &'static str,
    purposes: &'static [Purpose],
) -> Requirement {
    Requirement {
        package,
        reason,
        proof,
        purposes,
    }
}

/// The requirements of these purposes that the machine does not meet.
pub(crate) fn missing(purposes: &[Purpose]) -> Vec<&'static Requirement> {
    REQUIREMENTS
        .iter()
        .filter(|requirement| {
            requirement
                .purposes
                .iter()
                .any(|one| purposes.contains(one))
        })
        .filter(|requirement| !requirement.is_met())
        .collect()
}

impl Requirement {
    fn is_met(&self) -> bool {
        match self.proof {
            Proof::Program(name) => program(name).is_some(),
            Proof::Header(name) => {
                header_directories().any(|directory| directory.join(name).is_file())
            }
            Proof::Library(name) => library(name).is_some(),
            Proof::File(path) => std::path::Path::new(path).is_file(),
            Proof::PythonModule(name) => {
                python::interpreter().exists()
                    || output(command("python3").args(["-c", &format!("import {name}")])).is_ok()
            }
        }
    }
}

/// A program in `PATH`, or in the directories of system tools, which a user's `PATH` often lacks.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_in(
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]),
        name,
    )
}

/// A shared library in the usual directories of distributions.
pub(crate) fn library(name: &str) -> Option<PathBuf> {
    let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    find_in(
        [
            multiarch,
            "/usr/lib64".into(),
            "/usr/lib".into(),
            "/usr/local/lib".into(),
        ],
        name,
    )
}

fn find_in(
    directories: impl IntoIterator<Item = impl Into<PathBuf>>,
    name: &str,
) -> Option<PathBuf> {
    directories
        .into_iter()
        .map(|directory| directory.into().join(name))
        .find(|path| path.is_file())
}

fn header_directories() -> impl Iterator<Item = PathBuf> {
    let multiarch = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    [
        "/usr/include".into(),
        multiarch.into(),
        "/usr/local/include".into(),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_outside_path_is_found_among_the_system_tools_or_not_at_all() {
        assert!(program("sh").is_some());
        assert_eq!(program("no-such-program-anywhere"), None);
    }

    #[test]
    fn a_purpose_asks_for_no_package_that_it_does_not_need() {
        let for_build = |requirement: &&Requirement| requirement.purposes.contains(&Build);
        let packages: Vec<_> = REQUIREMENTS
            .iter()
            .filter(for_build)
            .map(|one| one.package)
            .collect();
        let own = [
            "gcc",
            "libc6-dev",
            "libpcap-dev",
            "libzstd-dev",
            "pkg-config",
            "protobuf-compiler",
            "libprotobuf-dev",
            "ca-certificates",
            "netbase",
            LLVM_PACKAGE,
        ];
        assert_eq!(packages, own);
    }

    #[test]
    fn every_package_is_named_once() {
        let mut packages: Vec<_> = REQUIREMENTS.iter().map(|one| one.package).collect();
        packages.sort_unstable();
        packages.dedup();
        assert_eq!(packages.len(), REQUIREMENTS.len());
    }
}
