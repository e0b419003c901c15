//! The `sparkcider.*` entries of a model file, each beside the option that goes before it.

use super::graph::Graph;
use crate::{Error, Result};

/// Of the metadata keys that this crate reads.
const PREFIX: &str = "sparkcider.";

/// Who says the value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The user.
    User,
    /// The model file's metadata.
    File,
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
        let own = |key: &str| key.strip_prefix(PREFIX) == Some(name);
        let Some((_, text)) = self.entries.iter().find(|(key, _)| own(key)) else { return Ok(None) };
        match parse(text) {
            Ok(value) => Ok(Some(Said { value, origin: Origin::File })),
            Err(Error::Option { expected, .. }) => {
                Err(Origin::File.refuse(self.model, name, expected, format!("'{text}'")))
            }
            Err(other) => Err(other),
        }
    }
}
