//! The output of tshark and capinfos for a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// Wireshark's names for kinds of segments, which are also ours.
pub(crate) const FLAGS: [&str; 15] = [
    "retransmission",
    "fast_retransmission",
    "spurious_retransmission",
    "out_of_order",
    "duplicate_ack",
    "lost_segment",
    "ack_lost_segment",
    "keep_alive",
    "keep_alive_ack",
    "zero_window",
    "zero_window_probe",
    "zero_window_probe_ack",
    "window_full",
    "window_update",
    "reused_ports",
];

/// A conversation: the two ends in a fixed order, packets and bytes from the first, then from the
/// second. Bytes are rounded like tshark's.
pub(crate) type Row = (String, String, (u64, String), (u64, String));

/// The view of a file by one program.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) packets: u64,
    /// By kind: `eth`, `ip`, `ipv6`, `tcp`, `udp`.
    pub(crate) conversations: BTreeMap<&'static str, Vec<Row>>,
    /// By frame.
    pub(crate) flags: BTreeMap<u64, BTreeSet<String>>,
    /// The name that each DNS message asks for or answers.
    pub(crate) dns: Vec<String>,
    /// The name that each TLS connection asks for.
    pub(crate) sni: Vec<String>,
    /// Method and target of each HTTP request over TCP.
    pub(crate) http: Vec<String>,
}

pub(crate) const KINDS: [(&str, &str); 5] = [
    ("eth", "Ethernet"),
    ("ip", "IPv4"),
    ("ipv6", "IPv6"),
    ("tcp", "TCP"),
    ("udp", "UDP"),
];

/// A row with its ends in the fixed order.
pub(crate) fn row(first: String, second: String, there: (u64, String), back: (u64, String)) -> Row {
    if first <= second {
        (first, second, there, back)
    } else {
        (second, first, back, there)
    }
}

/// Bytes in the format of tshark's conversations.
pub(crate) fn rounded(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// tshark's view of a file.
pub(crate) fn view(file: &Path) -> Result<View> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file);
    command.args(["-T", "fields", "-E", "separator=|", "-e", "frame.number"]);
    for flag in FLAGS {
        command.args(["-e", &format!("tcp.analysis.{flag}")]);
    }
    for field in APPLICATION {
        command.args(["-e", field]);
    }
    for (kind, _) in KINDS {
        command.args(["-z", &format!("conv,{kind}")]);
    }
    let output = command.output().context("running tshark")?;
    let mut view = View::default();
    let mut names = BTreeSet::new();
    let mut kind = "";
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut columns = line.split('|');
        let frame = columns.next().and_then(|number| number.parse().ok());
        if let Some(frame) = frame {
            view.packets += 1;
            let flags: BTreeSet<String> = FLAGS
                .iter()
                .zip(&mut columns)
                .filter(|(_, value)| !value.is_empty())
                .map(|(flag, _)| (*flag).to_owned())
                .collect();
            if !flags.is_empty() {
                view.flags.insert(frame, flags);
            }
            application(&mut view, &mut names, &columns.collect::<Vec<_>>());
        } else if let Some(title) = line.strip_suffix(" Conversations") {
            let known = KINDS.iter().find(|(_, name)| *name == title);
            kind = known
                .context("a table of conversations of no known kind")?
                .0;
        } else if line.contains("<->") {
            let row = conversation(line).with_context(|| format!("reading {line:?}"))?;
            view.conversations.entry(kind).or_default().push(row);
        }
    }
    for rows in view.conversations.values_mut() {
        rows.sort();
    }
    view.sni.extend(names.into_iter().map(|(_, name)| name));
    view.dns.sort();
    view.sni.sort();
    view.http.sort();
    Ok(view)
}

/// The fields requested from tshark about applications, for each frame.
const APPLICATION: [&str; 6] = [
    "_ws.col.Protocol",
    "tcp.stream",
    "dns.qry.name",
    "tls.handshake.extensions_server_name",
    "http.request.method",
    "http.request.uri",
];

fn application(view: &mut View, names: &mut BTreeSet<(String, String)>, columns: &[&str]) {
    let [protocol, stream, question, sni, method, target] = columns else {
        return;
    };
    let first = |text: &str| text.split(',').next().unwrap_or_default().to_owned();
    // The root and invalid names are not compared.
    if *protocol == "DNS" && !question.is_empty() && !question.starts_with('<') {
        view.dns.push(first(question));
    }
    // A connection that is told to start again asks twice.
    if !stream.is_empty() && !sni.is_empty() {
        names.insert(((*stream).to_owned(), first(sni)));
    }
    if !stream.is_empty() && !method.is_empty() {
        view.http
            .push(format!("{} {}", first(method), first(target)));
    }
}

/// `A <-> B`, frames and bytes from B, from A, and in all.
fn conversation(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let (first, arrow, second) = (words.next()?, words.next()?, words.next()?);
    (arrow == "<->").then_some(())?;
    let mut side = || -> Option<(u64, String)> {
        let packets = words.next()?.parse().ok()?;
        let bytes = format!("{} {}", words.next()?, words.next()?);
        Some((packets, bytes))
    };
    let (back, there) = (side()?, side()?);
    Some(row(first.to_owned(), second.to_owned(), there, back))
}

/// Packets and their total bytes, as capinfos counts; `None` if it does not read the link type.
pub(crate) fn capinfos(file: &Path) -> Result<Option<(u64, u64)>> {
    let output = Command::new("capinfos")
        .args(["-T", "-M", "-r", "-m", "-c", "-d"])
        .arg(file)
        .output()
        .context("running capinfos")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("unsupported") {
        return Ok(None);
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut columns = stdout.trim().rsplit(',');
    let (bytes, packets) = (columns.next(), columns.next());
    ensure!(packets.is_some(), "capinfos said {stdout:?} {stderr:?}");
    let number = |text: Option<&str>| text.unwrap_or_default().parse::<u64>();
    Ok(Some((number(packets)?, number(bytes)?)))
}
