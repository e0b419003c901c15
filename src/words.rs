//! Options that are words or whole numbers. One table of words per type serves both its `FromStr` and its `Display`.

use std::ops::RangeInclusive;

use crate::{Error, Result};

/// The value of an option that is a whole number; `found` is what was given, `value` the number in it.
///
/// # Errors
/// [`Error::Option`] that names the range.
pub(crate) fn whole(name: &'static str, range: &RangeInclusive<u64>, value: Option<u64>, found: &str) -> Result<u64> {
    value.filter(|value| range.contains(value)).ok_or_else(|| Error::Option {
        name,
        expected: format!("a whole number from {} to {}", range.start(), range.end()),
        found: found.to_owned(),
    })
}

/// The value of a word.
///
/// # Errors
/// [`Error::Option`] that lists the words of the table.
pub(crate) fn parse<T: Copy>(option: &'static str, table: &[(&str, T)], text: &str) -> Result<T> {
    if let Some((_, value)) = table.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
    let expected = match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    };
    Err(Error::Option { name: option, expected, found: format!("'{text}'") })
}

/// The word of a value, if the table has one.
pub(crate) fn word<'a, T: PartialEq>(table: &[(&'a str, T)], value: &T) -> Option<&'a str> {
    table.iter().find(|(_, known)| known == value).map(|(word, _)| *word)
}
