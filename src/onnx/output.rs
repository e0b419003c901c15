//! The output of a network to one vector per image.

use super::choice::HIDDEN_STATE;
use super::input::shape_text;
use super::metadata::{Metadata, Origin, Said};
use super::tokens::Patch;
use crate::pooling::{Pooling, pool};
use crate::tensor::Layout;
use crate::{Error, Result};

/// The output to take of a network and all that is said about its axes.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Name or path of the model.
    pub model: String,
    /// Name of the tensor.
    pub name: String,
    /// `pooling`, if it is said.
    pub pooling: Option<Said<Pooling>>,
    /// What is said of the pooling of the model's library where it is none of ours.
    pub library: Option<String>,
    /// `layer_layout`, if it is said.
    pub said: Option<Said<Layout>>,
    /// Where the graph has the channels, if its operators tell.
    pub known: Option<Layout>,
    /// `prefix_tokens`, if it is said.
    pub prefix: Option<Said<u64>>,
    /// What the graph cuts the image into, if it does.
    pub patch: Option<Patch>,
}

/// How the values of an image become its vector.
enum Reading {
    Whole,
    Map(Layout, Pooling),
    /// Of these of the tokens; the layout is (T, D).
    Tokens(std::ops::Range<usize>, Pooling),
}

impl Output {
    /// Appends one vector per image, of `n` images of `size` (height, width). Returns how they were pooled; `None` if the output
    /// has vectors.
    ///
    /// # Errors
    /// [`Error::Model`] if the output does not have `n` rows, or axes that make no vector; [`Error::Option`] if the
    /// layout of a map, the pooling of tokens or the number of those that are not patches is neither known nor said.
    pub(crate) fn append(
        &self,
        shape: &[i64],
        values: &[f32],
        (n, size): (usize, (u32, u32)),
        out: &mut Vec<f32>,
    ) -> Result<Option<Pooling>> {
        let rows = shape.first().and_then(|&rows| usize::try_from(rows).ok());
        if rows != Some(n) || values.is_empty() {
            return Err(self.fault(&format!("must give {n} rows, found {}", shape_text(shape))));
        }
        let axis = |at: usize| usize::try_from(shape[at]).unwrap_or(1);
        let images = values.chunks_exact(values.len() / n);
        match self.reading(shape, size)? {
            Reading::Whole => {
                out.extend_from_slice(values);
                Ok((shape.len() > 2).then_some(Pooling::Flatten))
            }
            Reading::Map(layout, pooling) => {
                let channels = axis(if layout == Layout::Nchw { 1 } else { 3 });
                images.for_each(|map| pool(map, channels, layout, pooling, out));
                Ok(Some(pooling))
            }
            Reading::Tokens(taken, pooling) => {
                let dim = axis(2);
                let taken = taken.start * dim..taken.end * dim;
                images.for_each(|tokens| pool(&tokens[taken.clone()], dim, Layout::Nhwc, pooling, out));
                Ok(Some(pooling))
            }
        }
    }

    /// How an output of `shape`, of images of `size`, becomes vectors.
    fn reading(&self, shape: &[i64], size: (u32, u32)) -> Result<Reading> {
        let is_flat = self.pooling.is_some_and(|said| said.value == Pooling::Flatten);
        match *shape {
            [_, _] => Ok(Reading::Whole),
            _ if is_flat => Ok(Reading::Whole),
            [_, tokens, _] => self.tokens(shape, usize::try_from(tokens).unwrap_or(0), size),
            [_, _, _, _] => Ok(Reading::Map(self.layout(shape)?, self.map_pooling()?)),
            _ => Err(self.fault(&format!(
                "must be (N, D), tokens (N, T, D), a 4-D feature map, or be flattened (pooling='flatten'), found {}",
                any_batch(shape)
            ))),
        }
    }

    /// `pooling`, if it is said of this output: what a description says is about the one that its library knows.
    fn pooling(&self) -> Option<Said<Pooling>> {
        self.pooling.filter(|said| said.origin != Origin::Description || self.name == HIDDEN_STATE)
    }

    /// `pooling` of a map.
    fn map_pooling(&self) -> Result<Pooling> {
        let Self { model, name, .. } = self;
        let is_of_maps = |said: &Said<Pooling>| !matches!(said.value, Pooling::Cls | Pooling::MeanTokens);
        match self.pooling().filter(|said| said.origin != Origin::Description || is_of_maps(said)) {
            Some(Said { value: value @ (Pooling::Cls | Pooling::MeanTokens), origin }) => {
                let expected = format!("avg, max or flatten, as output '{name}' of {model} is a feature map");
                self.refuse(origin, "pooling", expected, value.to_string())
            }
            said => Ok(said.map_or_else(Pooling::default, |said| said.value)),
        }
    }

    /// How tokens are pooled.
    fn tokens(&self, shape: &[i64], count: usize, size: (u32, u32)) -> Result<Reading> {
        let Self { model, name, .. } = self;
        let tokens = format!("output '{name}' of {model} has tokens, {}", any_batch(shape));
        let said = self.pooling();
        let prefix = || self.prefix_tokens(count, size);
        let expected = "cls, mean_tokens, avg, max or flatten";
        let required = |reason: String| Error::Required { name: "pooling", expected, reason };
        let pooling = match said {
            Some(said) => said.value,
            None if name == HIDDEN_STATE && prefix()?.is_some_and(|prefix| prefix > 0) => Pooling::Cls,
            None => {
                let library = self.library.as_ref().filter(|_| name == HIDDEN_STATE);
                return Err(required(library.map_or(tokens.clone(), |library| format!("{tokens}; {library}"))));
            }
        };
        if !matches!(pooling, Pooling::Cls | Pooling::MeanTokens) {
            return Ok(Reading::Tokens(0..count, pooling));
        }
        match (pooling, prefix()?) {
            (Pooling::Cls, Some(0)) if said.is_some_and(|said| said.origin == Origin::Description) => {
                Err(required(format!("{tokens}, and not the class token that the library of its model_type takes")))
            }
            (Pooling::Cls, Some(0)) => {
                let expected = format!("mean_tokens, avg, max or flatten, as {tokens}, and none before its patches");
                self.refuse(said.map_or(Origin::User, |said| said.origin), "pooling", expected, pooling.to_string())
            }
            (Pooling::Cls, _) => Ok(Reading::Tokens(0..1, pooling)),
            (_, Some(prefix)) => Ok(Reading::Tokens(prefix..count, pooling)),
            (_, None) => Err(Error::Required {
                name: "prefix_tokens",
                expected: "a number",
                reason: format!(
                    "{tokens}, and its graph does not tell how many of them (class, registers) come before those of the patches"
                ),
            }),
        }
    }

    /// How many of `count` tokens come before those of the patches: as the graph has them, else as it is said.
    fn prefix_tokens(&self, count: usize, size: (u32, u32)) -> Result<Option<usize>> {
        let Self { model, name, .. } = self;
        let known = self.patch.and_then(|patch| count.checked_sub(patch.count(size)));
        let Some(Said { value, origin }) = self.prefix else { return Ok(known) };
        let said = usize::try_from(value).unwrap_or(usize::MAX);
        let expected = match known {
            Some(known) if known != said => {
                format!("{known}, as {} of the {count} tokens of '{name}' are patches in {model}", count - known)
            }
            _ if said >= count => format!("less than the {count} tokens of output '{name}' of {model}"),
            _ => return Ok(Some(said)),
        };
        self.refuse(origin, "prefix_tokens", expected, value.to_string())
    }

    /// Where a map has its channels: as the graph has them, else as it is said.
    fn layout(&self, shape: &[i64]) -> Result<Layout> {
        let Self { model, name, .. } = self;
        match (self.known, self.said) {
            (Some(known), Some(said)) if known != said.value => {
                let expected = format!("{known}, as the graph of {model} has '{name}'");
                self.refuse(said.origin, "layer_layout", expected, said.value.to_string())
            }
            (Some(known), _) => Ok(known),
            (None, Some(said)) => Ok(said.value),
            (None, None) => Err(Error::Required {
                name: "layer_layout",
                expected: "NCHW or NHWC, or pooling flatten",
                reason: format!(
                    "the graph of {model} does not tell where '{name}', {}, has its channels",
                    any_batch(shape)
                ),
            }),
        }
    }

    /// The options that the user gives for nothing, as an output of `shape` goes without them: name and error of each.
    /// The file's metadata may be about another of its outputs.
    pub(crate) fn idle_options(&self, shape: &[i64]) -> Vec<(&'static str, Error)> {
        let pooling = self.pooling.map(|said| said.value);
        let (why, idle): (_, &[&str]) = match shape {
            [_, _] if pooling != Some(Pooling::Flatten) => {
                ("is a vector per image", &["pooling", "layer_layout", "prefix_tokens"])
            }
            [_, _] => ("is a vector per image", &["layer_layout", "prefix_tokens"]),
            _ if pooling == Some(Pooling::Flatten) => ("is flattened", &["layer_layout", "prefix_tokens"]),
            [_, _, _] if pooling == Some(Pooling::MeanTokens) => ("has tokens", &["layer_layout"]),
            [_, _, _] => ("has tokens, and pooling is not mean_tokens", &["layer_layout", "prefix_tokens"]),
            _ => ("is a feature map", &["prefix_tokens"]),
        };
        let given = [
            ("pooling", self.pooling.and_then(user).map(|value| value.to_string())),
            ("layer_layout", self.said.and_then(user).map(|value| value.to_string())),
            ("prefix_tokens", self.prefix.and_then(user).map(|value| value.to_string())),
        ];
        let refuse = |(name, found): (_, Option<String>)| {
            let expected = format!("left out, as output '{}' of {} {why}", self.name, self.model);
            found.filter(|_| idle.contains(&name)).map(|found| (name, Error::Option { name, expected, found }))
        };
        given.into_iter().filter_map(refuse).collect()
    }

    fn refuse<T>(&self, origin: Origin, name: &'static str, expected: String, found: String) -> Result<T> {
        Err(Metadata::none(&self.model).refuse(origin, name, expected, found))
    }

    fn fault(&self, reason: &str) -> Error {
        Error::Model { model: self.model.clone(), reason: format!("output '{}' {reason}", self.name) }
    }
}

/// A value that the user says.
fn user<T>(said: Said<T>) -> Option<T> {
    (said.origin == Origin::User).then_some(said.value)
}

/// The shape of an output whatever the number of images.
fn any_batch(shape: &[i64]) -> String {
    let batch = shape.iter().take(1).map(|_| 0);
    shape_text(&batch.chain(shape.iter().skip(1).copied()).collect::<Vec<_>>())
}
