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

/// Adds what a description says to the metadata of a file, in place of what they say of the preparation.
///
/// # Errors
/// [`Error::Option`] if the description says something else.
pub(crate) fn describe(metadata: &mut Vec<(String, String)>, description: &[(String, String)]) -> Result<()> {
    if let Some((key, _)) = description.iter().find(|(key, _)| !PREPARATION.contains(&key.as_str())) {
        let expected = format!("entries among {}", PREPARATION.join(", "));
        return Err(Error::Option { name: "description", expected, found: format!("'{key}'") });
    }
    if !description.is_empty() {
        let is_preparation = |key: &str| key.strip_prefix(PREFIX).is_some_and(|name| PREPARATION.contains(&name));
        metadata.retain(|(key, _)| !is_preparation(key));
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

impl Origin {
    /// A value that the option `name` cannot take, blamed on who says it.
    pub(crate) fn refuse(self, model: &str, name: &'static str, expected: String, found: String) -> Error {
        match self {
            Self::User => Error::Option { name, expected, found },
            Self::File => Error::Model {
                model: model.to_owned(),
                reason: format!("its metadata {PREFIX}{name} must be {expected}, got {found}"),
            },
            Self::Description => Error::Model {
                model: model.to_owned(),
                reason: format!("the description of its preparation must say {name} {expected}, got {found}"),
            },
        }
    }
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
        let origin_of = |key: &str| {
            let origins = [(DESCRIBED, Origin::Description), (PREFIX, Origin::File)];
            origins.into_iter().find(|(prefix, _)| key.strip_prefix(prefix) == Some(name)).map(|(_, origin)| origin)
        };
        let mut said = self.entries.iter().filter_map(|(key, text)| Some((origin_of(key)?, text)));
        let Some((origin, text)) = said.next() else { return Ok(None) };
        match parse(text) {
            Ok(value) => Ok(Some(Said { value, origin })),
            Err(Error::Option { expected, .. }) => Err(origin.refuse(self.model, name, expected, format!("'{text}'"))),
            Err(other) => Err(other),
        }
    }
}
