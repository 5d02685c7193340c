//! The reference pages of the manual, docs/reference, agree with the programs. With CAPTURE_DOCS=write, which
//! `cargo xtask docs` sets, they are written instead of compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    daemon::{Daemon, spec},
    gate,
    netns::Pair,
    recorder,
    scene::{numbered_frames, send_through},
    wait,
};

/// Compares a page with its expected content, or writes it.
fn page(name: &str, title: &str, body: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/reference")
        .join(name);
    let text = format!(
        "<!-- Written by `cargo xtask docs` from what the programs say. -->\n\n# {title}\n\n{}\n",
        body.trim_end()
    );
    if std::env::var_os("CAPTURE_DOCS").is_some_and(|what| what == "write") {
        fs::create_dir_all(path.parent().context("no directory")?)?;
        return fs::write(&path, text).with_context(|| format!("writing {}", path.display()));
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let line = |text: &str, at: usize| text.lines().nth(at).unwrap_or("(no more)").to_owned();
    let differs = (0..text.lines().count().max(there.lines().count()))
        .find(|at| line(&text, *at) != line(&there, *at));
    ensure!(
        differs.is_none(),
        "docs/reference/{name} differs from what the programs say, first in line {}:\n  is        {}\n  should be {}\n\
         run `cargo xtask docs` and commit the result",
        differs.unwrap_or_default() + 1,
        line(&there, differs.unwrap_or_default()),
        line(&text, differs.unwrap_or_default()),
    );
    Ok(())
}

/// Runs a program with an environment and terminal that do not affect its output.
fn run(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "100")
        .envs(variables.iter().copied())
        .output()
        .with_context(|| format!("starting {}", program.display()))
}

fn says(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = run(program, arguments, &[])?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The names under "Commands:" of a help text.
fn commands(help: &str) -> Vec<String> {
    let after = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    after
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The sections of a help text, each with its heading.
fn sections(help: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    for line in help.lines() {
        if line.ends_with(':') && !line.starts_with(' ') {
            sections.push(String::new());
        }
        if let Some(section) = sections.last_mut() {
            *section += line.trim_end();
            section.push('\n');
        }
    }
    sections
        .iter()
        .map(|section| section.trim_end().to_owned())
        .collect()
}

/// The help of a command and its subcommands, each under a heading, without sections of the parent's
/// help.
fn helps(program: &Path, path: &[&str], above: &[String], body: &mut String) -> Result<()> {
    let name = program.file_name().context("no name")?.to_string_lossy();
    let help = says(program, &[path, &["--help"]].concat())?;
    let title = [&[&*name], path].concat().join(" ");
    let sections = sections(&help);
    let own: Vec<_> = sections
        .iter()
        .filter(|section| !above.contains(section))
        .cloned()
        .collect();
    *body += &format!("## {title}\n\n```text\n{}\n```\n\n", own.join("\n\n"));
    for command in commands(&help) {
        helps(program, &[path, &[&command]].concat(), &sections, body)?;
    }
    Ok(())
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| {
        let cells = cells.into_iter().map(|cell| match cell.as_str() {
            "" => " |".to_owned(),
            cell => format!(" {} |", cell.replace('|', "\\|")),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let mut text = line(head.iter().map(|cell| (*cell).to_owned()).collect());
    text += &format!("|{}\n", "---|".repeat(head.len()));
    text.extend(rows.into_iter().map(line));
    text
}

fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}

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

/// A family of metrics in the format of Prometheus.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

fn families(text: &str) -> Result<BTreeMap<String, Family>> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().help =
                help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap_or((line, ""));
            let ends = ["", "_total", "_bucket", "_count", "_sum", "_info"];
            let bare = ends.iter().find_map(|end| {
                let bare = name.split(' ').next()?.strip_suffix(end)?;
                families.contains_key(bare).then(|| bare.to_owned())
            });
            let family = families.get_mut(&bare.with_context(|| format!("no family of {line}"))?);
            let Some(family) = family else { continue };
            for label in labels.split('}').next().unwrap_or("").split("\",") {
                if let Some((label, value)) = label.split_once("=\"") {
                    let values = family.labels.entry(label.to_owned()).or_default();
                    values.insert(value.trim_end_matches('"').to_owned());
                }
            }
        }
    }
    Ok(families)
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
    let rows = families(body)?.into_iter().map(|(name, family)| {
        let labels = family.labels.iter().filter(|(label, _)| *label != "le");
        let labels = labels.map(|(label, values)| {
            let values: Vec<_> = values.iter().map(|value| code(value)).collect();
            match NAMED_VALUES.contains(&label.as_str()) {
                true => format!("{} ({})", code(label), values.join(", ")),
                false => code(label),
            }
        });
        let name = match family.kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name,
        };
        vec![
            code(&name),
            family.kind,
            labels.collect::<Vec<_>>().join(", "),
            family.help,
        ]
    });
    let body = format!(
        "`/metrics` at `metrics.listen`, in the OpenMetrics text format. [The daemon](../daemon.md#health-and-metrics) has more \
         about it, and [the ledger](../files-and-ledger.md#the-ledger) about the outcomes.\n\n{}",
        table(&["name", "type", "labels", "meaning"], rows)
    );
    page("metrics.md", "Metrics", &body)
}
