//! On files of other projects' test suites, the analysis gets the same counts as tshark and capinfos.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context as _, Result, ensure};
use capture_analysis::{
    Analysis, Hooks, Settings, Source, analyse,
    report::{Conversation, End, Report},
};
use capture_tests::gate;

use crate::{
    differences::DIFFERENCES,
    tshark::{self, KINDS, Row, View, rounded, row},
};

/// The files of other projects, or `None`, which is reported.
fn files() -> Result<Option<Vec<PathBuf>>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    let directory = env::var_os("CAPTURE_TEST_FILES").map_or(beside, PathBuf::from);
    let Ok(entries) = fs::read_dir(&directory) else {
        gate::cannot_run(&format!(
            "{} is not there: the analysis is not compared with tshark over real traffic; \
             CAPTURE_TEST_FILES names another directory with capture files",
            directory.display()
        ))?;
        return Ok(None);
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().unwrap_or_default();
            extension == "pcap" || extension == "pcapng"
        })
        .collect();
    files.sort();
    Ok(Some(files))
}

/// The report on one file, and its view in the form of tshark's.
pub(crate) fn ours(file: &Path) -> Result<(Report, View)> {
    let (sender, flagged) = mpsc::channel();
    let sender = Mutex::new(sender);
    let analysis =
        Analysis::new(&Settings::default()).with_frames(Box::new(move |packet, flags| {
            let names = flags.iter().map(|flag| flag.name().to_owned()).collect();
            let sender = sender
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            sender.send((packet.frame, names)).ok();
        }));
    let name = file.display().to_string();
    let source = fs::File::open(file).map(|input| Source {
        name: name.clone(),
        input: Box::new(input),
    });
    let report = analyse(analysis, [(name, source)], &mut Hooks::default());
    let mut conversations = BTreeMap::new();
    for (kind, _) in KINDS {
        let list = match kind {
            "eth" => &report.conversations.ethernet,
            "ip" => &report.conversations.ipv4,
            "ipv6" => &report.conversations.ipv6,
            "tcp" => &report.conversations.tcp,
            _ => &report.conversations.udp,
        };
        let mut rows: Vec<Row> = list.iter().map(conversation).collect();
        rows.sort();
        if !rows.is_empty() {
            conversations.insert(kind, rows);
        }
    }
    let view = View {
        packets: report.inventory.packets,
        conversations,
        flags: flagged.into_iter().collect(),
        ..applications(&report)
    };
    Ok((report, view))
}

fn applications(report: &Report) -> View {
    let mut view = View::default();
    for row in report.dns.iter().flat_map(|dns| &dns.rows) {
        // A question and its answer are two messages with one name; an answer alone is one.
        let answered = row
            .answer_frame
            .is_some_and(|frame| frame != row.exchange.frame);
        let messages = if answered { 2 } else { 1 };
        if !row.name.is_empty() {
            view.dns
                .extend(std::iter::repeat_n(row.name.clone(), messages));
        }
    }
    for row in report.tls.iter().flat_map(|tls| &tls.rows) {
        view.sni.extend(row.sni.clone());
    }
    for row in report.http.iter().flat_map(|http| &http.rows) {
        if let (Some(method), Some(target)) = (&row.method, &row.target) {
            let target = target.split(',').next().unwrap_or_default();
            view.http.push(format!("{method} {target}"));
        }
    }
    view.dns.sort();
    view.sni.sort();
    view.http.sort();
    view
}

fn conversation(conversation: &Conversation) -> Row {
    let name = |end: &End| match end.port {
        Some(port) => format!("{}:{port}", end.address),
        None => end.address.clone(),
    };
    row(
        name(&conversation.client),
        name(&conversation.server),
        (
            conversation.client_packets,
            rounded(conversation.client_bytes),
        ),
        (
            conversation.server_packets,
            rounded(conversation.server_bytes),
        ),
    )
}

/// The views in which the analysis differs from its peers on this file.
fn compare(file: &Path) -> Result<BTreeSet<&'static str>> {
    let mut differences = BTreeSet::new();
    let (report, ours) = ours(file)?;
    // Nobody else reads the vendor's own link types.
    let Some((packets, bytes)) = tshark::capinfos(file)? else {
        return Ok(differences);
    };
    if (packets, bytes) != (report.inventory.packets, report.inventory.bytes) {
        differences.insert("inventory");
    }
    // Packets that are counted and not decoded have no conversations.
    if report.inventory.undecoded > 0 {
        return Ok(differences);
    }
    let theirs = tshark::view(file)?;
    for (kind, _) in KINDS {
        if ours.conversations.get(kind) != theirs.conversations.get(kind) {
            differences.insert(kind);
        }
    }
    if ours.flags != theirs.flags {
        differences.insert("flags");
    }
    if ours.dns != theirs.dns {
        differences.insert("dns");
    }
    if ours.sni != theirs.sni {
        differences.insert("sni");
    }
    if ours.http != theirs.http {
        differences.insert("http");
    }
    Ok(differences)
}

#[test]
fn packets_conversations_flagged_frames_and_names_are_those_of_tshark_and_capinfos() -> Result<()> {
    let Some(files) = files()? else {
        return Ok(());
    };
    if !gate::has_programs(&["tshark", "capinfos"])? {
        return Ok(());
    }
    ensure!(files.len() > 100, "only {} files", files.len());
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    thread::scope(|scope| -> Result<()> {
        let worker = || -> Result<()> {
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let differences = compare(file).with_context(|| file.display().to_string())?;
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                if !differences.is_empty() {
                    let mut found = found.lock().map_err(|_| anyhow::anyhow!("a worker died"))?;
                    found.insert(name.into_owned(), differences);
                }
            }
            Ok(())
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker died"))??;
        }
        Ok(())
    })?;
    let found = found.into_inner()?;
    let mut listed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for difference in DIFFERENCES {
        ensure!(
            !difference.reason.is_empty(),
            "a difference without a reason"
        );
        for (file, kinds) in difference.files {
            listed.insert((*file).to_owned(), kinds.split(' ').collect());
        }
    }
    let names: BTreeSet<_> = found.keys().chain(listed.keys()).collect();
    let mut wrong = Vec::new();
    for name in names {
        let there = files.iter().any(|file| file.ends_with(name));
        if there && found.get(name) != listed.get(name) {
            wrong.push(format!(
                "{name}: differs in {:?}, listed {:?}",
                found.get(name),
                listed.get(name)
            ));
        }
    }
    ensure!(
        wrong.is_empty(),
        "mend these, or list them in tests/analysis/differences.rs and docs/analysis.md with the \
         reason:\n{}",
        wrong.join("\n")
    );
    Ok(())
}
