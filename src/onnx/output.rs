//! The output of a network to one vector per image.

use std::fmt;

use super::input::shape_text;
use super::metadata::{Origin, Said};
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
    /// `layer_layout`, if it is said.
    pub said: Option<Said<Layout>>,
    /// Where the graph has the channels, if its operators tell.
    pub known: Option<Layout>,
}

impl Output {
    /// Appends one vector per image.
    ///
    /// # Errors
    /// [`Error::Model`] if the output does not have `n` rows, or axes that make no vector; [`Error::Option`] if the
    /// layout of a map is neither known nor said, or an option has no effect on this output.
    pub(crate) fn append(&self, shape: &[i64], values: &[f32], n: usize, out: &mut Vec<f32>) -> Result<()> {
        let rows = shape.first().and_then(|&rows| usize::try_from(rows).ok());
        if rows != Some(n) || values.is_empty() {
            return Err(self.fault(&format!("must give {n} rows, found {}", shape_text(shape))));
        }
        let Some((layout, pooling)) = self.reading(shape)? else {
            out.extend_from_slice(values);
            return Ok(());
        };
        let channels_at = if layout == Layout::Nchw { 1 } else { 3 };
        let channels = usize::try_from(shape[channels_at]).unwrap_or(1);
        let image_len = values.len() / n;
        for map in values.chunks_exact(image_len) {
            pool(map, channels, layout, pooling, out);
        }
        Ok(())
    }

    /// How an output of `shape` is pooled; `None` where it is taken as it is.
    fn reading(&self, shape: &[i64]) -> Result<Option<(Layout, Pooling)>> {
        let pooling = self.pooling.map_or_else(Pooling::default, |said| said.value);
        match *shape {
            [_, _] => {
                let pooled = self.pooling.filter(|said| said.value != Pooling::Flatten);
                self.without_effect("pooling", pooled, "is a vector per image")?;
                self.without_effect("layer_layout", self.said, "is a vector per image")?;
                Ok(None)
            }
            _ if pooling == Pooling::Flatten => {
                self.without_effect("layer_layout", self.said, "is flattened")?;
                Ok(None)
            }
            [_, _, _, _] => Ok(Some((self.layout(shape)?, pooling))),
            _ => Err(self.fault(&format!(
                "must be (N, D), a 4-D feature map, or be flattened (pooling='flatten'), found {}",
                any_batch(shape)
            ))),
        }
    }

    /// Where a map has its channels: as the graph has them, else as it is said.
    fn layout(&self, shape: &[i64]) -> Result<Layout> {
        let Self { model, name, .. } = self;
        match (self.known, self.said) {
            (Some(known), Some(said)) if known != said.value => {
                let expected = format!("{known}, as the graph of {model} has '{name}'");
                Err(said.origin.refuse(model, "layer_layout", expected, said.value.to_string()))
            }
            (Some(known), _) => Ok(known),
            (None, Some(said)) => Ok(said.value),
            (None, None) => Err(Error::Option {
                name: "layer_layout",
                expected: format!(
                    "NCHW or NHWC (or pooling flatten), as the graph of {model} does not tell where '{name}', {}, has its channels",
                    any_batch(shape)
                ),
                found: "nothing".to_owned(),
            }),
        }
    }

    /// Refuses what the user gives for nothing; the file's metadata may be about another of its outputs.
    fn without_effect<T: fmt::Display>(&self, option: &'static str, said: Option<Said<T>>, why: &str) -> Result<()> {
        match said {
            Some(Said { value, origin: Origin::User }) => Err(Error::Option {
                name: option,
                expected: format!("left out, as output '{}' of {} {why}", self.name, self.model),
                found: value.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn fault(&self, reason: &str) -> Error {
        Error::Model { model: self.model.clone(), reason: format!("output '{}' {reason}", self.name) }
    }
}

/// The shape of an output whatever the number of images.
fn any_batch(shape: &[i64]) -> String {
    let batch = shape.iter().take(1).map(|_| 0);
    shape_text(&batch.chain(shape.iter().skip(1).copied()).collect::<Vec<_>>())
}
