//! Tables of a page.

use std::fmt::{self, Display, Write};

use super::super::escape::Escaped;

/// A cell: its text is escaped when it is written.
pub(super) struct Cell {
    class: &'static str,
    text: Content,
}

/// What a cell shows.
enum Content {
    Text(String),
    /// A drawing that was made here.
    Drawing(String),
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Self {
            class: "",
            text: Content::Text(text.to_owned()),
        }
    }

    /// May take much room.
    pub(super) fn long(text: &str) -> Self {
        Self {
            class: " class=\"long\"",
            text: Content::Text(text.to_owned()),
        }
    }

    /// Stands at the right.
    pub(super) const fn number(text: String) -> Self {
        Self {
            class: " class=\"n\"",
            text: Content::Text(text),
        }
    }

    /// A drawing made by this crate, which is not escaped.
    pub(super) const fn drawing(svg: String) -> Self {
        Self {
            class: "",
            text: Content::Drawing(svg),
        }
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Content::Text(text) => write!(f, "<td{}>{}</td>", self.class, Escaped(text)),
            Content::Drawing(svg) => write!(f, "<td{}>{svg}</td>", self.class),
        }
    }
}

pub(super) fn table(
    out: &mut dyn Write,
    header: &[&str],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> fmt::Result {
    let rows: Vec<Vec<Cell>> = rows.collect();
    out.write_str("<div class=\"scroll\"><table><thead><tr>")?;
    for (at, name) in header.iter().enumerate() {
        let class = rows.first().map_or("", |row| row[at].class);
        write!(out, "<th{class}>{}</th>", Escaped(name))?;
    }
    out.write_str("</tr></thead><tbody>")?;
    for row in rows {
        out.write_str("<tr>")?;
        for cell in row {
            write!(out, "{cell}")?;
        }
        out.write_str("</tr>")?;
    }
    out.write_str("</tbody></table></div>")
}
