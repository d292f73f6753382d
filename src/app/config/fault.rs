//! What is wrong with a configuration, and where: turns a span of bytes into a key, a line and a column.
//!
//! Checks only say which value is wrong and why. The key is found here by looking up the span in the parsed text, so
//! the errors of the parser, of the shape and of the checks all name their place in the same way.

use std::{fmt, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::file::At;

/// A value that cannot be accepted.
#[derive(Debug)]
pub(super) struct Fault {
    at: Range<usize>,
    message: String,
    other: Option<Range<usize>>,
}

/// Where something stands in the file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) struct Position {
    line: usize,
    column: usize,
}

impl Fault {
    pub(super) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), other: None }
    }

    /// Names the value that this one collides with.
    pub(super) fn with_other(self, other: Range<usize>) -> Self {
        Self { other: Some(other), ..self }
    }

    /// The key, the place and the words.
    pub(super) fn locate(&self, text: &str) -> (Option<String>, Position, String) {
        let other =
            self.other.as_ref().map(|o| format!(" (the other is on line {})", Position::of(text, o.start).line));
        let message = format!("{}{}", self.message, other.unwrap_or_default());
        let key = key_at(text, self.at.start).or_else(|| self.duplicate_key(text));
        (key, Position::of(text, self.at.start), message)
    }

    /// The parser keeps the first of two equal keys only, so the second is found in the text itself.
    fn duplicate_key(&self, text: &str) -> Option<String> {
        (self.message == "duplicate key").then(|| text.get(self.at.clone()).map(str::to_owned))?
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        Self::new(error.span().unwrap_or_default(), error.message())
    }
}

impl<T> At<T> {
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.span(), message)
    }
}

impl Position {
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The path of the innermost key or value that covers `offset`, such as `applications[0].services[1].name`.
fn key_at(text: &str, offset: usize) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let mut search = Search { offset, best: None };
    search.table("", table.get_ref());
    search.best.map(|(_, key)| key)
}

struct Search {
    offset: usize,
    best: Option<(usize, String)>,
}

impl Search {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", quoted(key.get_ref()));
            self.consider(&key.span(), &path);
            self.value(&path, value);
        }
    }

    fn value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        self.consider(&value.span(), path);
        match value.get_ref() {
            DeValue::Table(table) => self.table(path, table),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&format!("{path}[{index}]"), item);
                }
            }
            _ => {}
        }
    }

    /// The smallest span wins; of equal ones the deeper, which comes later.
    fn consider(&mut self, span: &Range<usize>, path: &str) {
        let smaller = self.best.as_ref().is_none_or(|(len, _)| span.len() <= *len);
        if span.contains(&self.offset) && smaller {
            self.best = Some((span.len(), path.to_owned()));
        }
    }
}

/// A key as TOML writes it.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { key.to_owned() } else { format!("'{key}'") }
}

#[cfg(test)]
mod tests {
    use super::{Position, key_at};

    const TEXT: &str = "listen = 'x'\n[[applications]]\nname = 'a'\n[[applications]]\nname = 'b'\n\
                        [[applications.services]]\nname = 'b/c'\npartitions = [{ id = '1' }, { id = '2' }]\n\
                        [file_share.mounts]\n'\\\\a\\b' = '/mnt'\n";

    #[test]
    fn a_place_in_the_text_is_named_by_its_key() {
        for (needle, key) in [
            ("listen", "listen"),
            ("'x'", "listen"),
            ("'a'", "applications[0].name"),
            ("'b'", "applications[1].name"),
            ("'b/c'", "applications[1].services[0].name"),
            ("'2'", "applications[1].services[0].partitions[1].id"),
            ("'/mnt'", "file_share.mounts.'\\\\a\\b'"),
        ] {
            assert_eq!(key_at(TEXT, TEXT.find(needle).unwrap()).as_deref(), Some(key), "{needle}");
        }
    }

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        assert_eq!(Position::of("a", 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of("ab\nüx", 5), Position { line: 2, column: 2 });
        assert_eq!(Position::of("ab\n", 3), Position { line: 2, column: 1 });
    }
}
