//! What is read off, and added to, an ONNX file itself: the names of its tensors, one more output.
//!
//! Only the fields that are needed are declared (numbers from `onnx.proto3`); prost skips the rest, weights included.

use prost::Message;

use crate::{Error, Result};

#[derive(Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
}

/// A tensor that an operator of the graph gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphTensor {
    /// Its name in the graph.
    pub name: String,
    /// The operator that gives it, such as `Conv`.
    pub operator: String,
}

/// The tensors of an ONNX file in the order of its operators.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are no ONNX.
pub fn tensors(onnx: &[u8]) -> Result<Vec<GraphTensor>> {
    let model =
        ModelProto::decode(onnx).map_err(|error| Error::Corrupt { what: "ONNX graph", reason: error.to_string() })?;
    let nodes = model.graph.map(|graph| graph.node).unwrap_or_default();
    let named = |node: NodeProto| {
        let operator = node.op_type;
        node.output.into_iter().map(move |name| GraphTensor { name, operator: operator.clone() })
    };
    // an operator's optional output that nobody uses has no name
    Ok(nodes.into_iter().flat_map(named).filter(|tensor| !tensor.name.is_empty()).collect())
}

/// The same ONNX file with the tensors `names` among its outputs.
///
/// Two serialised messages in a row are their merger: repeated fields are joined (Protocol Buffers encoding guide,
/// "Last One Wins"). So the weights need not be decoded.
#[must_use]
pub fn with_outputs<'a>(mut onnx: Vec<u8>, names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let output = names.map(|name| ValueInfoProto { name: name.to_owned() }).collect();
    let more = ModelProto { graph: Some(GraphProto { node: Vec::new(), output }) };
    onnx.extend(more.encode_to_vec());
    onnx
}
