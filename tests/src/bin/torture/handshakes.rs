//! TLS handshakes that are begun and never ended.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    certificates::{Authority, Credentials, Time, replace},
    daemon::{Client, Daemon, spec},
    frame,
    netns::Pair,
};
use tempfile::TempDir;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring};

use crate::{
    Attack,
    scene::{MEBIBYTE, Scene, memory_within},
};

pub(crate) const ATTACKS: [Attack; 1] = [Attack {
    name: "handshake-flood",
    done: "TLS handshakes from another host for 3 s, 8 at a time, each left when the daemon has signed its answer",
    quick: true,
    run: handshake_flood,
}];

const OPERATOR: &str = "spiffe://lab/operator";
const ADDRESS: &str = "10.0.0.2:9443";
/// Time limit for a new operator to be connected and answered beside the flood.
const ADMITTED: Duration = Duration::from_secs(10);

/// The first message of a client, for which a server makes a key and a signature.
fn greeting() -> Result<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes)?;
    Ok(bytes)
}

/// Begins a handshake and leaves it. Returns whether the server has answered.
fn begin(greeting: &[u8], address: &SocketAddr) -> bool {
    let patience = Duration::from_secs(1);
    let answered = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(greeting)?;
        Ok(stream.read(&mut [0; 64])? > 0)
    };
    // A refused connection is what the daemon may answer with.
    answered().unwrap_or(false)
}

fn handshake_flood() -> Result<String> {
    let (pair, directory) = (Pair::new()?, TempDir::new()?);
    let authority = Authority::new("the lab's authority")?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    replace(&directory.path().join("ca.pem"), authority.pem())?;
    authority.node(Time::Now)?.write(directory.path(), "node")?;
    replace(
        &directory.path().join("captured.toml"),
        &format!("[[client]]\nsan = \"URI:{OPERATOR}\"\nrole = \"operator\"\n"),
    )?;
    let (config, certificate, key, ca) = (
        path("captured.toml"),
        path("node.pem"),
        path("node.key"),
        path("ca.pem"),
    );
    let daemon = Daemon::start(
        &pair.b,
        &[
            "--config",
            &config,
            "--listen",
            "0.0.0.0:9443",
            "--tls-certificate",
            &certificate,
            "--tls-key",
            &key,
            "--tls-client-ca",
            &ca,
        ],
    )?;
    // The connections of the flood are no frames of the sender's.
    let frames = spec("eth0", &format!("udp port {}", frame::PORT));
    let mut scene = Scene::with(pair, daemon, frames)?;
    let before = scene.daemon.memory()?;
    let operator = authority.client("operator", OPERATOR, Time::Now)?;
    let (greeting, address) = (greeting()?, ADDRESS.parse()?);
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let probe = scene.probe()?;
    let longest = thread::scope(|scope| -> Result<Duration> {
        let attacker = &scene.pair.a;
        scope.spawn(|| {
            attacker.run(|| {
                thread::scope(|scope| {
                    for _ in 0..8 {
                        scope.spawn(|| {
                            while !over.load(Ordering::Relaxed) {
                                if begin(&greeting, &address) {
                                    answered.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        });
                    }
                });
            });
        });
        let admitted = admitted(&scene, &authority, &operator);
        over.store(true, Ordering::Relaxed);
        admitted
    })?;
    let answered = answered.into_inner();
    ensure!(answered > 100, "only {answered} handshakes were begun");
    let memory = memory_within(&scene.daemon, before, 64 * MEBIBYTE)?;
    let said = format!(
        "{answered} handshakes begun, operators connected within {} ms, {memory}, {}",
        longest.as_millis().max(1),
        probe.end()?
    );
    scene.send(100)?;
    Ok(format!("{said}, {}", scene.end()?))
}

/// Operators connect for three seconds. Returns how long the slowest one took to get an answer.
fn admitted(scene: &Scene, authority: &Authority, operator: &Credentials) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        let client = Client::over_tls(&scene.pair.b, "https://localhost:9443", authority, operator)
            .context("a new operator beside the flood")?;
        let mut request = tonic::Request::new(v1::GetNodeRequest {});
        request.set_timeout(ADMITTED);
        client
            .wait(client.node.clone().get_node(request))
            .context("GetNode of a new operator")?;
        longest = longest.max(asked.elapsed());
        thread::sleep(Duration::from_millis(50));
    }
    ensure!(longest < ADMITTED, "an operator waited {longest:?}");
    Ok(longest)
}
