//! The reference pages of the manual, docs/reference, agree with the programs. With CAPTURE_DOCS=write, which
//! `cargo xtask docs` sets, they are written instead of compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::TcpStream,
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    daemon::{Daemon, spec},
    gate,
    netns::Pair,
    recorder,
    reference::{self, code, helps, page, run, says, table},
    scene::{numbered_frames, send_through},
    wait,
};

#[test]
fn the_page_of_captured_is_its_help() -> Result<()> {
    let mut body = String::new();
    helps(recorder::program()?, &[], &[], &mut body)?;
    ensure!(body.contains("## captured filter explain"), "{body}");
    page(
        "captured.md",
        "captured: commands, options and exit statuses",
        &body,
    )
}

#[test]
fn the_page_of_capturectl_is_its_help_with_every_variable_that_it_takes() -> Result<()> {
    let client = recorder::program()?.with_file_name("capturectl");
    let help = says(&client, &["--help"])?;
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut variables = BTreeMap::new();
    for (at, _) in words.match_indices("[env: ") {
        let variable = words[at + "[env: ".len()..].split([',', '=', ']']).next();
        let option = words[..at].rfind(" --").context("no option")?;
        let option = words[option + 1..].split([' ', ',']).next();
        variables.insert(
            variable.context("no variable")?,
            option.context("no option")?,
        );
    }
    // An unknown variable causes an error that lists all variables.
    let refusal = run(&client, &["list"], &[("CAPTURECTL_NONE", "1")])?;
    let refusal = String::from_utf8(refusal.stderr)?;
    let known = refusal
        .split(": known are")
        .nth(1)
        .context("no list of variables")?;
    let known: BTreeSet<_> = known
        .split([',', ' ', '\n'])
        .filter_map(|word| {
            word.strip_prefix("CAPTURECTL")
                .or_else(|| word.starts_with('_').then_some(word))
        })
        .map(|end| format!("CAPTURECTL{end}"))
        .collect();
    let said: BTreeSet<_> = variables.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(known, said, "in the error, in the help");

    let mut body = format!(
        "The options under \"Nodes\" and `--output` go with every command.\n\n{}\n",
        table(
            &["environment", "option"],
            variables
                .iter()
                .map(|(name, option)| vec![code(name), code(option)])
        )
    );
    helps(&client, &[], &[], &mut body)?;
    page(
        "capturectl.md",
        "capturectl: commands, options, environment and exit statuses",
        &body,
    )
}

#[test]
fn the_page_of_the_settings_is_what_the_daemon_says_of_them() -> Result<()> {
    let defaults = says(recorder::program()?, &["config", "defaults"])?;
    let (mut prefix, mut comments, mut rows) = (String::new(), Vec::new(), Vec::new());
    for line in defaults.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            comments.push(comment);
        } else if let Some(name) = line.strip_prefix('[') {
            prefix = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, value)) = line.split_once(" = ") {
            let place = comments.pop().context("no variable")?;
            let mut words = place.split([' ', '.']);
            let mut after = |word| words.find(|of| *of == word).and(words.next()).unwrap_or("");
            let (variable, flag) = (code(after("Environment:")), code(after("Flag:")));
            let meaning = comments.join(" ");
            let meaning = meaning.trim_end_matches('.').to_owned();
            let value = code(value.trim_matches('"').trim_matches(['[', ']']));
            rows.push(vec![
                code(&format!("{prefix}{key}")),
                variable,
                flag,
                value,
                meaning,
            ]);
            comments.clear();
        }
    }
    ensure!(rows.len() > 20, "{defaults}");
    let body = format!(
        "`captured config defaults` prints them as a configuration file to start from. [The daemon](../daemon.md#settings) \
         says how they are set.\n\n{}",
        table(&["key", "environment", "flag", "default", "meaning"], rows)
    );
    page("settings.md", "Settings of the daemon", &body)
}

/// Labels whose values are the daemon's own, not a user's.
const NAMED_VALUES: [&str; 2] = ["outcome", "state"];

#[test]
fn the_page_of_the_metrics_has_each_that_a_running_capture_has() -> Result<()> {
    const LISTEN: &str = "127.0.0.1:9100";
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &["--metrics", LISTEN])?;
    daemon.client()?.start("web", spec("eth0", ""))?;
    send_through(&pair, &numbered_frames(0..10))?;
    let text = wait::until("10 packets to be written", || {
        pair.b.run(|| {
            let mut stream = TcpStream::connect(LISTEN)?;
            write!(
                stream,
                "GET /metrics HTTP/1.1\r\nHost: {LISTEN}\r\nConnection: close\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            let written = "outcome=\"written\"} 10\n";
            Ok(answer.contains(written).then_some(answer))
        })
    })?;
    let (_, body) = text.split_once("\r\n\r\n").context("no head")?;
    let body = format!(
        "`/metrics` at `metrics.listen`, in the OpenMetrics text format. [The daemon](../daemon.md#health-and-metrics) has more \
         about it, and [the ledger](../files-and-ledger.md#the-ledger) about the outcomes.\n\n{}",
        reference::metrics(body, &NAMED_VALUES)?
    );
    page("metrics.md", "Metrics", &body)
}
