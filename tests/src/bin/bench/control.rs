//! Response times of the daemon: starting and stopping a capture of many interfaces, and listing many
//! captures.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{self, capture_service_client::CaptureServiceClient};
use capture_tests::{
    daemon::{Client, Daemon, spec},
    frame,
    netns::Namespace,
    packet_socket::PacketSocket,
    wait,
};
use serde::Serialize;
use tempfile::TempDir;

use crate::{Arguments, median};

/// Interfaces of the large capture.
const INTERFACES: u32 = 200;

/// Ended captures in the list.
const CAPTURES: u32 = 1000;

const LISTEN: &str = "127.0.0.1:9443";

/// One request, measured many times.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The request.
    pub(crate) request: String,
    /// The number of measurements.
    pub(crate) times: usize,
    /// Milliseconds from the request to the answer: median,
    pub(crate) median: f64,
    /// 99th percentile,
    pub(crate) p99: f64,
    /// and maximum.
    pub(crate) longest: f64,
}

impl Row {
    fn new(request: &str, mut milliseconds: Vec<f64>) -> Result<Self> {
        milliseconds.sort_by(f64::total_cmp);
        let times = milliseconds.len();
        let at = (times * 99).div_ceil(100).saturating_sub(1);
        let (p99, longest) = (milliseconds.get(at), milliseconds.last());
        Ok(Self {
            request: request.to_owned(),
            times,
            p99: *p99.context("nothing was measured")?,
            longest: *longest.context("nothing was measured")?,
            median: median(milliseconds).context("nothing was measured")?,
        })
    }
}

pub(crate) fn start_name() -> String {
    format!("start on {INTERFACES} interfaces")
}

pub(crate) fn list_name() -> String {
    format!("list of {CAPTURES} captures")
}

/// Measures in a separate network namespace.
pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let host = Namespace::new()?;
    let mut rows = start_and_stop(&host, 3 * arguments.repeat())?;
    let calls = if arguments.quick { 200 } else { 1000 };
    rows.extend(list(&host, calls)?);
    Ok(rows)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn start_and_stop(host: &Namespace, times: usize) -> Result<Vec<Row>> {
    for number in 0..INTERFACES {
        host.ip(&format!("link add v{number} type veth peer name p{number}"))?;
        host.ip(&format!("link set v{number} up"))?;
        host.ip(&format!("link set p{number} up"))?;
    }
    let daemon = Daemon::start(host, &[])?;
    let client = daemon.client()?;
    // The interface that is joined last must have recorded its packet.
    let sender = PacketSocket::sender(host, &format!("p{}", INTERFACES - 1))?;
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for time in 0..times {
        let name = format!("large-{time}");
        let asked = Instant::now();
        let started = client.start(&name, spec("v*", ""))?;
        starts.push(milliseconds(asked));
        ensure!(started.interfaces.len() == INTERFACES as usize);
        sender.send(&frame::numbered(time as u64, 100))?;
        let asked = Instant::now();
        let ended = client.stop(&name)?;
        stops.push(milliseconds(asked));
        let matched = ended.ledger.and_then(|ledger| ledger.written);
        ensure!(matched == Some(1), "{matched:?} packets of 1 recorded");
        client.delete(&name)?;
    }
    let stop = format!("stop on {INTERFACES} interfaces");
    Ok(vec![
        Row::new(&start_name(), starts)?,
        Row::new(&stop, stops)?,
    ])
}

/// Sends requests over TCP on loopback, one after the other.
fn list(host: &Namespace, calls: usize) -> Result<Vec<Row>> {
    let daemon = Daemon::start_in(host, ended_captures(host)?, &["--insecure-listen", LISTEN])?;
    let client = daemon.client()?;
    wait::until_true("the captures to be there", || {
        Ok(total(&client)? == CAPTURES)
    })?;
    let measure = |page_size: u32| -> Result<Vec<f64>> {
        host.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut client = CaptureServiceClient::connect(format!("http://{LISTEN}")).await?;
                // A whole page is larger than a client's default limit.
                client = client.max_decoding_message_size(64 << 20);
                let mut taken = Vec::new();
                for call in 0..calls + 20 {
                    let request = v1::ListCapturesRequest {
                        page_size,
                        ..Default::default()
                    };
                    let asked = Instant::now();
                    let answer = client.list_captures(request).await?.into_inner();
                    // The first requests find cold caches.
                    if call >= 20 {
                        taken.push(milliseconds(asked));
                    }
                    ensure!(answer.captures.len() == page_size as usize);
                }
                Ok(taken)
            })
        })
    };
    Ok(vec![
        Row::new(&list_name(), measure(CAPTURES)?)?,
        Row::new(&format!("100 of {CAPTURES} captures"), measure(100)?)?,
    ])
}

fn total(client: &Client) -> Result<u32> {
    let request = v1::ListCapturesRequest::default();
    let answer = client.wait(client.captures.clone().list_captures(request))?;
    Ok(answer.into_inner().total_size)
}

/// The directories of a daemon with many ended captures: one really ran, and the others are copies
/// of its record under other names.
fn ended_captures(host: &Namespace) -> Result<TempDir> {
    const NAME: &str = "the-first-of-many";
    let daemon = Daemon::start(host, &[])?;
    let client = daemon.client()?;
    client.start(NAME, spec("lo", "udp port 53 or tcp port 443"))?;
    client.stop(NAME)?;
    let (_ended, directory) = daemon.end()?;
    let records = directory.path().join("state/captures");
    let record = fs::read_to_string(records.join(format!("{NAME}.json")))?;
    for number in 1..CAPTURES {
        let name = format!("capture-{number:04}");
        let path = records.join(format!("{name}.json"));
        fs::write(path, record.replace(NAME, &name))?;
    }
    Ok(directory)
}
