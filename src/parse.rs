//! Values of options from text: one of several names, or a whole number. One table of names per type serves both its
//! `FromStr` and its `Display`.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::{Error, Result};

/// The value of an option that is a whole number; `found` is what was given, `value` the number in it.
///
/// # Errors
/// [`Error::Option`] that names the range.
pub(crate) fn whole_number(
    name: &'static str,
    range: &RangeInclusive<u64>,
    value: Option<u64>,
    found: &str,
) -> Result<u64> {
    value.filter(|value| range.contains(value)).ok_or_else(|| Error::Option {
        name,
        expected: format!("a whole number from {} to {}", range.start(), range.end()),
        found: found.to_owned(),
    })
}

/// The value that `text` names.
///
/// # Errors
/// [`Error::Option`] that lists the names of the table.
pub(crate) fn choice<T: Copy>(option: &'static str, table: &[(&str, T)], text: &str) -> Result<T> {
    if let Some((_, value)) = table.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let expected = match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    };
    Err(Error::Option { name: option, expected, found: format!("'{text}'") })
}

/// Three numbers with commas between them.
pub(crate) fn three<T: FromStr>(text: &str) -> Option<[T; 3]> {
    let numbers: Option<Vec<T>> = text.split(',').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// The name of a value, if the table has one.
pub(crate) fn name_of<'a, T: PartialEq>(table: &[(&'a str, T)], value: &T) -> Option<&'a str> {
    table.iter().find(|(_, known)| known == value).map(|(name, _)| *name)
}
