//! The `sparkcider.*` entries of a model file, each beside the option that overrides it.

use super::graph::Graph;
use crate::{Error, Result};

/// Of the metadata keys that this crate reads.
const PREFIX: &str = "sparkcider.";

/// Of the keys of a description; no key of a file begins so.
const DESCRIBED: &str = "\0description.";

/// What a description can say: how images are prepared. What the metadata say of it does not count beside a description.
const PREPARATION: [&str; 11] = [
    "input_size",
    "resize_mode",
    "resize_size",
    "crop_ratio",
    "filter",
    "rounding",
    "resize_dtype",
    "fill_color",
    "background",
    "normalization",
    "color_order",
];

/// What it can say beside: the file that says it; how the library of the model pools its tokens, or a sentence on that where no
/// `pooling` does so.
const BESIDE: [&str; 3] = ["source", "pooling", "library"];

/// Adds what a description says to the metadata of a file, in place of what they say of the preparation.
///
/// # Errors
/// [`Error::Option`] if the description says something else.
pub(crate) fn describe(metadata: &mut Vec<(String, String)>, description: &[(String, String)]) -> Result<()> {
    let is_preparation = |key: &str| PREPARATION.contains(&key);
    if let Some((key, _)) = description.iter().find(|(key, _)| !is_preparation(key) && !BESIDE.contains(&key.as_str()))
    {
        let expected = format!("entries among {}", [&PREPARATION[..], &BESIDE].concat().join(", "));
        return Err(Error::Option { name: "description", expected, found: format!("'{key}'") });
    }
    if description.iter().any(|(key, _)| is_preparation(key)) {
        metadata.retain(|(key, _)| !key.strip_prefix(PREFIX).is_some_and(is_preparation));
    }
    metadata.extend(description.iter().map(|(key, text)| (format!("{DESCRIBED}{key}"), text.clone())));
    Ok(())
}

/// Who says the value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The user.
    User,
    /// The model file's metadata.
    File,
    /// The description of the preparation that overrides them.
    Description,
}

/// The value of an option and who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said<T> {
    pub value: T,
    pub origin: Origin,
}

/// The `sparkcider.*` metadata of a model file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata<'a> {
    model: &'a str,
    entries: &'a [(String, String)],
}

impl<'a> Metadata<'a> {
    /// Of the file `model`.
    pub(crate) fn new(model: &'a str, graph: &'a Graph) -> Self {
        Self { model, entries: &graph.metadata }
    }

    /// Of a model that is not a file.
    pub(crate) fn none(model: &'a str) -> Self {
        Self { model, entries: &[] }
    }

    /// The name of the model.
    pub(crate) fn model(&self) -> &'a str {
        self.model
    }

    /// What a description says under `key`.
    pub(crate) fn described(&self, key: &str) -> Option<&'a str> {
        let is_wanted = |(name, _): &&(String, String)| name.strip_prefix(DESCRIBED) == Some(key);
        self.entries.iter().find(is_wanted).map(|(_, text)| text.as_str())
    }

    /// The file that says what is of `origin`.
    pub(crate) fn place(&self, origin: Origin) -> &'a str {
        self.described("source").filter(|_| origin == Origin::Description).unwrap_or(self.model)
    }

    /// A value that the option `name` cannot take, blamed on who says it.
    pub(crate) fn refuse(&self, origin: Origin, name: &'static str, expected: String, found: String) -> Error {
        let reason = match origin {
            Origin::User => return Error::Option { name, expected, found },
            Origin::File => format!("its metadata {PREFIX}{name} must be {expected}, got {found}"),
            Origin::Description => {
                format!("{} describes its preparation: {name} must be {expected}, got {found}", self.place(origin))
            }
        };
        Error::Model { model: self.model.to_owned(), reason }
    }

    /// The error of a value, blamed on the file or the description where one of them says it and the user does not.
    pub(crate) fn blame(&self, error: Error, is_given: impl FnOnce(&str) -> bool) -> Error {
        match error {
            Error::Option { name, expected, found } => {
                let origin = if is_given(name) { None } else { self.origin_of(name) };
                self.refuse(origin.unwrap_or(Origin::User), name, expected, found)
            }
            other => other,
        }
    }

    fn origin_of(&self, name: &str) -> Option<Origin> {
        self.said(name).map(|(origin, _)| origin)
    }

    /// The file's value of the option `name`, else the description's.
    fn said(&self, name: &str) -> Option<(Origin, &'a str)> {
        let origins = [(PREFIX, Origin::File), (DESCRIBED, Origin::Description)];
        let origin_of = |key: &str| {
            origins.into_iter().find(|(prefix, _)| key.strip_prefix(prefix) == Some(name)).map(|(_, origin)| origin)
        };
        self.entries.iter().find_map(|(key, text)| Some((origin_of(key)?, text.as_str())))
    }

    /// The user's value of the option `name`, else the file's, which `parse` reads and checks.
    ///
    /// # Errors
    /// [`Error::Model`] that names the file and the key if `parse` refuses the text.
    pub(crate) fn or_said<T>(
        &self,
        name: &'static str,
        user: Option<T>,
        parse: impl FnOnce(&str) -> Result<T>,
    ) -> Result<Option<Said<T>>> {
        if let Some(value) = user {
            return Ok(Some(Said { value, origin: Origin::User }));
        }
        let Some((origin, text)) = self.said(name) else { return Ok(None) };
        match parse(text) {
            Ok(value) => Ok(Some(Said { value, origin })),
            Err(Error::Option { expected, .. }) => Err(self.refuse(origin, name, expected, format!("'{text}'"))),
            Err(other) => Err(other),
        }
    }
}
