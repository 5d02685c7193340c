//! Reference pages of the manual, docs/reference, from what the programs say. With CAPTURE_DOCS=write, which
//! `cargo xtask docs` sets, they are written instead of compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};

/// Compares a page with its expected content, or writes it.
pub fn page(name: &str, title: &str, body: &str) -> Result<()> {
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
pub fn run(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "100")
        .envs(variables.iter().copied())
        .output()
        .with_context(|| format!("starting {}", program.display()))
}

/// What a program prints to stdout; it must succeed.
pub fn says(program: &Path, arguments: &[&str]) -> Result<String> {
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
pub fn helps(program: &Path, path: &[&str], above: &[String], body: &mut String) -> Result<()> {
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

/// A text without the sections of help texts that have this heading.
#[must_use]
pub fn without(body: &str, heading: &str) -> String {
    let (mut text, mut is_left_out) = (String::new(), false);
    for line in body.lines() {
        let begins = line.starts_with("```") || line.ends_with(':') && !line.starts_with(' ');
        if line == heading {
            is_left_out = true;
        } else if begins && is_left_out {
            is_left_out = false;
            text.truncate(text.trim_end().len());
            text += if line.starts_with('`') { "\n" } else { "\n\n" };
        }
        if !is_left_out {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// A table in Markdown.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
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

/// A text in Markdown's code font; nothing for nothing.
pub fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}

/// An option of a program that is also a setting: its variable, default and meaning come from its help.
struct Setting {
    variable: String,
    default: String,
    meaning: String,
}

/// Takes `[name: VALUE]` out of a text.
fn taken(text: &mut String, name: &str) -> String {
    let start = format!("[{name}: ");
    let Some(at) = text.find(&start) else {
        return String::new();
    };
    let Some(length) = text[at..].find(']') else {
        return String::new();
    };
    let value = text[at + start.len()..at + length].to_owned();
    text.replace_range(at..=at + length, "");
    value
}

fn setting(argument: &clap::Arg) -> Setting {
    let help = argument.get_help().map(ToString::to_string);
    let mut meaning = help.unwrap_or_default();
    let variable = taken(&mut meaning, "env");
    let variable = match argument.get_env() {
        Some(variable) => variable.to_string_lossy().into_owned(),
        None => variable.split('=').next().unwrap_or_default().to_owned(),
    };
    let defaults = argument.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    let said = taken(&mut meaning, "default");
    let default = if said.is_empty() {
        defaults.join(",")
    } else {
        said
    };
    let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
    Setting {
        variable,
        default,
        meaning: meaning.trim_end_matches([' ', '.']).to_owned(),
    }
}

/// The settings of a program, in a table: the arguments of a command, with the keys of its configuration file.
#[must_use]
pub fn settings(command: &clap::Command) -> String {
    let rows = command.get_arguments().map(|argument| {
        let Setting {
            variable,
            default,
            meaning,
        } = setting(argument);
        let flag = argument.get_long().map(|long| format!("--{long}"));
        let key = argument.get_id().as_str();
        let flag = flag.unwrap_or_default();
        vec![
            code(key),
            code(&variable),
            code(&flag),
            code(&default),
            meaning,
        ]
    });
    table(&["key", "environment", "flag", "default", "meaning"], rows)
}

/// Keys of a part of the configuration file, in a table. Their meaning is that of the argument of the same name, or
/// one of these.
///
/// # Errors
/// A key has no meaning.
pub fn keys(command: &clap::Command, keys: &[String], meanings: &[(&str, &str)]) -> Result<String> {
    let mut rows = Vec::new();
    for key in keys {
        let argument = command
            .get_arguments()
            .find(|one| one.get_id() == key.as_str());
        let (variable, default, meaning) = match argument.map(setting) {
            Some(of) => (of.variable, of.default, of.meaning),
            None => {
                let found = meanings.iter().find(|(name, _)| name == key);
                let (_, meaning) = found.with_context(|| format!("no meaning of {key}"))?;
                (String::new(), String::new(), (*meaning).to_owned())
            }
        };
        rows.push(vec![code(key), code(&variable), code(&default), meaning]);
    }
    Ok(table(&["key", "environment", "default", "meaning"], rows))
}

/// Metrics in the format of Prometheus, in a table. Of labels with these names, the values are told.
///
/// # Errors
/// A line belongs to no family.
pub fn metrics(text: &str, named_values: &[&str]) -> Result<String> {
    let rows = families(text)?.into_iter().map(|(name, family)| {
        let labels = family.labels.iter().filter(|(label, _)| *label != "le");
        let labels = labels.map(|(label, values)| {
            let values: Vec<_> = values.iter().map(|value| code(value)).collect();
            match named_values.contains(&label.as_str()) {
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
    Ok(table(&["name", "type", "labels", "meaning"], rows))
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
