//! One pass over a capture file, from which its documents are made.

use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use capture_analysis::{
    Analysis, Hooks, Progress, Settings, Source, Tap, analyse, decode::FragmentLimits,
    flow::FlowLimits,
};

use super::{
    Continued, FileContext, Kind, Kinds,
    writer::{Output, Traffic, Writer},
};

/// Flows that are live at once. Those that were idle for longest are closed early beyond it: their later
/// packets make another segment of the same flow.
const LIVE_FLOWS: usize = 8_192;

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// Documents of each kind, in the order of [`Kind::ALL`].
    pub documents: [u64; Kind::ALL.len()],
    /// Packets and bytes of TCP, of UDP, and of everything else.
    pub traffic: [Traffic; 3],
    /// Flows to look up in the next file of the capture.
    pub continued: Continued,
    /// Why the file could not be read to its end; what was read before makes documents all the same.
    pub problem: Option<String>,
}

/// Limits that bound the memory to a few MiB, whatever is in the file.
fn settings() -> Settings {
    Settings {
        flows: FlowLimits { live: LIVE_FLOWS },
        fragments: FragmentLimits {
            datagrams: 1_024,
            bytes: 4 << 20,
        },
        pairs: 1_024,
        // The documents have them.
        conversations: 0,
        rows: 0,
        ..Settings::default()
    }
}

fn lock<O>(writer: &Mutex<Writer<O>>) -> MutexGuard<'_, Writer<O>> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a file, and hands its documents to `output`. `progress` gets the bytes of the file on disk that were
/// read so far.
pub fn read<O: Output + 'static>(
    file: FileContext,
    input: impl io::Read + Send + 'static,
    kinds: Kinds,
    continued: Continued,
    output: O,
    mut progress: impl FnMut(u64),
) -> Read {
    let name = file.path.clone();
    let writer = Arc::new(Mutex::new(Writer::new(file, kinds, continued, output)));
    let analysis = Analysis::new(&settings()).with_records(&Tap::new(Arc::clone(&writer) as _));
    let mut all = Traffic::default();
    let mut hooks = Hooks {
        filter: Box::new(|packet| {
            all.add(1, u64::from(packet.original_length));
            if kinds.has(Kind::Packet) {
                lock(&writer).packet(packet);
            }
            kinds.needs_analysis()
        }),
        progress: Box::new(|at: Progress| {
            progress(at.bytes);
            if lock(&writer).out.stopped() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }),
        ..Hooks::default()
    };
    let source = Source {
        name: name.clone(),
        input: Box::new(input),
    };
    // It gives up its tap at the end.
    let report = analyse(analysis, [(name, Ok(source))], &mut hooks);
    drop(hooks);
    let mut writer = lock(&writer);
    if kinds.has(Kind::Finding) {
        for finding in &report.findings {
            writer.finding(finding);
        }
    }
    let problem = report.files.into_iter().find_map(|file| file.problem);
    writer.out.finish();
    let [tcp, udp] = writer.traffic;
    // A tunnel and what is in it may both be flows.
    let rest = |all: u64, tcp: u64, udp: u64| all.saturating_sub(tcp).saturating_sub(udp);
    let other = Traffic {
        packets: rest(all.packets, tcp.packets, udp.packets),
        bytes: rest(all.bytes, tcp.bytes, udp.bytes),
    };
    let mut continued = std::mem::take(&mut writer.continued);
    continued.end_of_file();
    Read {
        documents: writer.documents,
        traffic: [tcp, udp, other],
        continued,
        problem,
    }
}
