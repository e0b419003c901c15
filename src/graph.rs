//! What is read off, and added to, an ONNX file itself: what it says of its inputs and outputs, one more output.
//!
//! Only the fields that are needed are declared (numbers from `onnx.proto3`); prost skips the rest, weights included.

use prost::Message;

use crate::{Error, Result};

#[derive(Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Message)]
struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
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
struct TensorProto {
    #[prost(string, tag = "8")]
    name: String,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

#[derive(Message)]
struct TensorTypeProto {
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<DimensionProto>,
}

#[derive(Message)]
struct DimensionProto {
    #[prost(int64, tag = "1")]
    dim_value: i64,
}

/// `TensorProto.DataLocation.EXTERNAL` of `onnx.proto3`.
const EXTERNAL: i32 = 1;

/// A tensor that an operator of the graph gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphTensor {
    /// Its name in the graph.
    pub name: String,
    /// The operator that gives it, such as `Conv`.
    pub operator: String,
}

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its axes, 0 for a dynamic one; `None` where even their number is left open.
    pub shape: Option<Vec<i64>>,
}

/// What an ONNX file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Version of the standard operators.
    pub opset: i64,
    /// What must be given to run it: without the weights that old exporters list among the inputs.
    pub inputs: Vec<Declared>,
    /// What it gives.
    pub outputs: Vec<Declared>,
    /// Its `metadata_props`, in the order of the file.
    pub metadata: Vec<(String, String)>,
    /// Whether weights lie in other files beside it.
    pub external_weights: bool,
}

fn parse(onnx: &[u8]) -> Result<ModelProto> {
    ModelProto::decode(onnx).map_err(|error| Error::Corrupt { what: "ONNX graph", reason: error.to_string() })
}

/// What an ONNX file says of itself.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are no ONNX, or end early.
pub fn summary(onnx: &[u8]) -> Result<Summary> {
    let model = parse(onnx)?;
    let missing = || Error::Corrupt { what: "ONNX graph", reason: "there is no graph in it".to_owned() };
    let graph = model.graph.ok_or_else(missing)?;
    if graph.node.is_empty() {
        return Err(missing());
    }
    let is_weight = |name: &str| graph.initializer.iter().any(|weight| weight.name == name);
    let standard = |set: &&OperatorSetIdProto| set.domain.is_empty() || set.domain == "ai.onnx";
    Ok(Summary {
        opset: model.opset_import.iter().find(standard).map_or(0, |set| set.version),
        inputs: graph.input.into_iter().filter(|input| !is_weight(&input.name)).map(declared).collect(),
        outputs: graph.output.into_iter().map(declared).collect(),
        metadata: model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect(),
        external_weights: graph.initializer.iter().any(|weight| weight.data_location == EXTERNAL),
    })
}

fn declared(value: ValueInfoProto) -> Declared {
    let tensor = value.r#type.and_then(|kind| kind.tensor_type);
    let shape = tensor.and_then(|tensor| tensor.shape);
    let dims = |shape: TensorShapeProto| shape.dim.into_iter().map(|dim| dim.dim_value).collect();
    Declared { name: value.name, shape: shape.map(dims) }
}

/// The tensors of an ONNX file in the order of its operators.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are no ONNX.
pub fn tensors(onnx: &[u8]) -> Result<Vec<GraphTensor>> {
    let nodes = parse(onnx)?.graph.map(|graph| graph.node).unwrap_or_default();
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
    let output = names.map(|name| ValueInfoProto { name: name.to_owned(), r#type: None }).collect();
    let graph = GraphProto { node: Vec::new(), initializer: Vec::new(), input: Vec::new(), output };
    let more = ModelProto { graph: Some(graph), opset_import: Vec::new(), metadata_props: Vec::new() };
    onnx.extend(more.encode_to_vec());
    onnx
}
