//! The weights of an optimised network, held once for all of its sessions.
//!
//! A session optimises its graph when it is made, and what comes of the weights is its own: a second session of the same file holds
//! them once more. So the optimised graph is saved once and its weights are taken out of it; every session gets the rest of the
//! graph and those weights, and copies none. docs/architecture.md has what that saves.

use std::borrow::Cow;
use std::sync::Arc;

use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights};
use ort::value::{DynValue, Tensor};
use prost::Message;

use super::proto::{EXTERNAL, FLOAT, INT8, StringStringEntryProto, UINT8, WholeTensorProto};
use super::runtime::Runtime;
use super::wire::{GRAPH_INITIALIZER, MODEL_GRAPH, replace};

/// Smaller weights stay in the graph: some of them decide shapes, and all of them together are little.
const SMALLEST: usize = 1024;

/// An optimised graph and its weights, of which sessions are made.
pub(super) struct SharedWeights {
    /// The graph, its large weights left out.
    graph: Vec<u8>,
    weights: Vec<(String, Arc<DynValue>)>,
    /// What the kernels of the first session made of the weights, for those of the next.
    prepacked: PrepackedWeights,
}

impl SharedWeights {
    /// Takes the large weights out of `onnx`, an optimised graph as ONNX Runtime saves it; `None` if there are none.
    pub(super) fn take_out_of(onnx: &[u8]) -> Option<Self> {
        let mut weights = Vec::new();
        let graph = replace(onnx, MODEL_GRAPH, &mut |graph| {
            let lightened = replace(graph, GRAPH_INITIALIZER, &mut |weight| Some(lighten(weight, &mut weights)));
            lightened.map(Cow::Owned)
        })?;
        (!weights.is_empty()).then(|| Self { graph, weights, prepacked: PrepackedWeights::new() })
    }

    /// A session of the graph as it is, which is optimised.
    pub(super) fn session(&self, runtime: &Runtime, intra_threads: usize) -> Result<Session, String> {
        runtime.session(intra_threads, GraphOptimizationLevel::Disable, |builder| {
            // a kernel that cannot share what it makes of its weights is an error, which does not matter to the user
            let builder = builder.clone().with_log_level(LogLevel::Fatal)?;
            let mut builder = builder.with_prepacked_weights(&self.prepacked)?;
            for (name, weight) in &self.weights {
                // external, as its values are not in the graph; an initializer, as the values of external ones are copied
                builder = builder.with_external_initializer(name, Arc::clone(weight))?;
                builder = builder.with_initializer(name, Arc::clone(weight))?;
            }
            builder.commit_from_memory(&self.graph)
        })
    }
}

/// A weight without its values, which go to `weights`; a small one, or one of another type, as it is.
fn lighten<'a>(weight: &'a [u8], weights: &mut Vec<(String, Arc<DynValue>)>) -> Cow<'a, [u8]> {
    let taken = WholeTensorProto::decode(weight).ok().filter(|tensor| tensor.raw_data.len() >= SMALLEST);
    let Some((tensor, value)) = taken.and_then(|tensor| value_of(&tensor).map(|value| (tensor, value))) else {
        return Cow::Borrowed(weight);
    };
    let length = tensor.raw_data.len().to_string();
    // no such file is looked for, as the session is given the values
    let external_data =
        vec![StringStringEntryProto::new("location", "weights"), StringStringEntryProto::new("length", length)];
    weights.push((tensor.name.clone(), Arc::new(value)));
    Cow::Owned(
        WholeTensorProto { raw_data: Vec::new(), external_data, data_location: EXTERNAL, ..tensor }.encode_to_vec(),
    )
}

/// The values of a weight: little-endian in the file. `None` for other types, and for as many values as its shape does not have.
fn value_of(tensor: &WholeTensorProto) -> Option<DynValue> {
    let shape = tensor.dims.clone();
    let bytes = &tensor.raw_data;
    match tensor.data_type {
        FLOAT => {
            let values: Vec<f32> = bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
            Some(Tensor::from_array((shape, values)).ok()?.into_dyn())
        }
        UINT8 => Some(Tensor::from_array((shape, bytes.clone())).ok()?.into_dyn()),
        INT8 => {
            let values: Vec<i8> = bytes.iter().map(|value| value.cast_signed()).collect();
            Some(Tensor::from_array((shape, values)).ok()?.into_dyn())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONNX: &[u8] = include_bytes!("../../tests/data/tiny_nchw.onnx");

    fn initializers(graph: &[u8]) -> Vec<WholeTensorProto> {
        let mut found = Vec::new();
        let mut keep = |weight| {
            found.push(WholeTensorProto::decode(weight).unwrap());
            Some(Cow::Borrowed(weight))
        };
        replace(graph, GRAPH_INITIALIZER, &mut keep).unwrap();
        found
    }

    #[test]
    fn only_what_is_replaced_changes() {
        let keep = |graph| Some(Cow::Owned(replace(graph, GRAPH_INITIALIZER, &mut |w| Some(Cow::Borrowed(w)))?));
        assert_eq!(replace(ONNX, MODEL_GRAPH, &mut { keep }).unwrap(), ONNX);
        let mut names = Vec::new();
        let mut rename = |graph| {
            names = initializers(graph).into_iter().map(|weight| weight.name).collect();
            let mut new = |weight| {
                let weight = WholeTensorProto::decode(weight).unwrap();
                Some(Cow::Owned(WholeTensorProto { name: "new".to_owned(), ..weight }.encode_to_vec()))
            };
            Some(Cow::Owned(replace(graph, GRAPH_INITIALIZER, &mut new).unwrap()))
        };
        let renamed = replace(ONNX, MODEL_GRAPH, &mut rename).unwrap();
        assert!(!names.is_empty());
        let mut check = |graph| {
            assert!(initializers(graph).iter().all(|weight| weight.name == "new"));
            Some(Cow::Borrowed(graph))
        };
        replace(&renamed, MODEL_GRAPH, &mut check).unwrap();
    }

    #[test]
    fn a_message_that_ends_within_a_field_is_not_taken_apart() {
        let mut keep = |content| Some(Cow::Borrowed(content));
        let (whole, cut): (Vec<_>, Vec<_>) = (1..=ONNX.len())
            .map(|end| (end, replace(&ONNX[..end], MODEL_GRAPH, &mut keep)))
            .partition(|(_, kept)| kept.is_some());
        assert!(whole.iter().all(|(end, kept)| kept.as_deref() == Some(&ONNX[..*end])));
        assert!(whole.len() < 20 && cut.len() > ONNX.len() - 20, "{} fields", whole.len());
    }
}
