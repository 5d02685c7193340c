//! Tables for people, JSON and YAML for programs, all to stdout.

use std::{
    env,
    io::{self, BufWriter, IsTerminal as _, Write as _},
};

use capture_args::console::{is_unprintable, plain, plain_lines};
use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, Color, Table, presets::NOTHING};
use serde::Serialize;

use super::exit::{Error, Exit};
use capture_client::model::State;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
    Yaml,
}

/// Prints a value, or for people what `table` makes.
pub(super) fn print<T: Serialize + ?Sized>(
    format: Format,
    value: &T,
    table: impl FnOnce() -> String,
) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match format {
        Format::Table => {
            let text = table();
            // Only coloured tables have control characters of their own; their cells are plain already.
            let text = if has_colours() {
                text
            } else {
                plain_lines(&text)
            };
            out.write_all(text.as_bytes())?;
            if !text.is_empty() && !text.ends_with('\n') {
                writeln!(out)?;
            }
        }
        Format::Json => {
            // Reports are large: they are written as they are made.
            let mut out = Escaping(BufWriter::new(&mut out));
            serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
            writeln!(out)?;
            out.flush()?;
        }
        Format::Yaml => write!(out, "{}", yaml(value)?)?,
    }
    out.flush()?;
    Ok(())
}

/// JSON on its way out, as [`json`] has it. `serde_json` writes whole characters at a time.
struct Escaping<W>(W);

impl<W: io::Write> io::Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        if text.chars().any(is_unprintable) {
            self.0.write_all(json(text).as_bytes())?;
        } else {
            self.0.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// As [`print`], for a list. An empty list is not reported as empty when no node answered.
pub(super) fn print_list<T: Serialize>(
    format: Format,
    values: &[T],
    exit: Exit,
    table: impl FnOnce() -> String,
) -> Result<(), Error> {
    if format == Format::Table && values.is_empty() && exit != Exit::Done {
        return Ok(());
    }
    print(format, values, table)
}

/// Prints one value of a sequence: a line of JSON, a YAML document.
pub(super) fn print_next<T: Serialize + ?Sized>(
    format: Format,
    value: &T,
    line: impl FnOnce() -> String,
) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match format {
        Format::Table => writeln!(out, "{}", plain(&line()))?,
        Format::Json => writeln!(out, "{}", json(&serde_json::to_string(value)?))?,
        Format::Yaml => write!(out, "---\n{}", yaml(value)?)?,
    }
    out.flush()?;
    Ok(())
}

/// JSON with every unprintable character escaped; they stand in strings only, and serde_json leaves those
/// beyond ASCII as they are.
fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unprintable(character) && character != '\n' {
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn yaml<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    serde_yaml_ng::to_string(value).map_err(|error| Error::Failed(error.to_string()))
}

/// A table without lines; columns named in `right` are aligned to the right.
pub(super) fn table(header: &[&str], right: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.to_vec());
    if has_colours() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    for (number, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(number)
            && right.contains(name)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A cell with text from outside, escaped.
pub(super) fn cell(text: &str) -> Cell {
    Cell::new(plain(text))
}

/// A state in its colour, where there are colours.
pub(super) fn state_cell(state: State) -> Cell {
    let cell = Cell::new(state);
    match state {
        State::Running => cell.fg(Color::Green),
        State::Pending | State::Stopping => cell.fg(Color::Yellow),
        State::Failed | State::Interrupted => cell.fg(Color::Red),
        State::Completed | State::Unknown => cell,
    }
}

/// Only on a terminal, and not where NO_COLOR (<https://no-color.org>) is set.
fn has_colours() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A table as text, without the blanks at the ends of lines.
pub(super) fn text(table: &Table) -> String {
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn json_has_no_unprintable_character_and_says_the_same() {
        let hostile = "a\u{1b}b\u{9b}c\u{7f}d\u{202e}e\n";
        let text = json(&serde_json::to_string_pretty(&[hostile]).unwrap());
        assert!(
            !text.contains(['\u{1b}', '\u{9b}', '\u{7f}', '\u{202e}']),
            "{text:?}"
        );
        let again: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(again, [hostile]);
    }
}
