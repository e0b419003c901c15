//! What is read off, and added to, an ONNX file itself: its inputs, outputs and operators, its metadata, one more output.
//!
//! Only the fields that are needed are declared (numbers from `onnx.proto3`); prost skips the rest, weights included.

use std::collections::{BTreeSet, HashMap};

use prost::Message;

use super::proto::{BFLOAT16, StringStringEntryProto, TensorProto};
use crate::image::decode::kind_of_file;
use crate::{Error, Result};

#[derive(Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionProto>,
}

/// An operator that the file itself defines.
#[derive(Message)]
pub(super) struct FunctionProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "10")]
    domain: String,
}

#[derive(Message)]
struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
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

/// An operator of the graph with the names of its tensors; an optional one that is left out has an empty name.
#[derive(Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    domain: String,
}

impl NodeProto {
    /// Whether the operator is one of the ONNX standard.
    pub(crate) fn is_standard(&self) -> bool {
        is_standard(&self.domain)
    }

    /// The integers of an attribute.
    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.ints.as_slice())
    }

    /// The integer of an attribute.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.i)
    }

    /// The word of an attribute.
    pub(super) fn word(&self, name: &str) -> Option<&[u8]> {
        self.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.s.as_slice())
    }

    /// The tensors that the operator reads: its inputs, and what the graphs inside of it (`If`, `Loop`) take from outside.
    pub(super) fn reads(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        for graph in self.graphs() {
            names.extend(graph.node.iter().flat_map(NodeProto::reads));
            names.extend(graph.output.iter().map(|output| output.name.as_str()));
        }
        names
    }

    /// The operators of the graphs inside of it.
    pub(super) fn inner_nodes(&self) -> impl Iterator<Item = &Self> {
        self.graphs().flat_map(|graph| &graph.node)
    }

    fn graphs(&self) -> impl Iterator<Item = &GraphProto> {
        self.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
    }

    /// The axes of what a `Constant` gives; no axes where it gives a number.
    fn constant_dims(&self) -> Vec<i64> {
        let tensor = self.attribute.iter().find_map(|attribute| attribute.t.as_ref());
        let several = || self.attribute.iter().find(|attribute| attribute.name == "value_ints");
        tensor
            .map(|tensor| tensor.dims.clone())
            .or_else(|| Some(vec![several()?.ints.len() as i64]))
            .unwrap_or_default()
    }
}

#[derive(Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(bytes = "vec", tag = "4")]
    s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    t: Option<TensorProto>,
    #[prost(message, optional, tag = "6")]
    g: Option<GraphProto>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphProto>,
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

/// An ONNX file without the values of its weights.
#[derive(Debug)]
pub struct Graph {
    /// Version of the standard operators.
    pub opset: i64,
    /// What must be given to run it: without the weights that old exporters list among the inputs.
    pub inputs: Vec<Declared>,
    /// The tensors that it gives.
    pub outputs: Vec<Declared>,
    /// Its `metadata_props`, in the order of the file.
    pub metadata: Vec<(String, String)>,
    /// The files beside it that hold weights, as it names them.
    pub external_files: BTreeSet<String>,
    /// Weights that the file lists among its inputs, so that a caller can replace them. Before version 4 of the format
    /// each one stood there, and none could be replaced.
    pub weights_as_inputs: usize,
    /// Whether weights are bfloat16.
    pub(super) has_bfloat16: bool,
    nodes: Vec<NodeProto>,
    functions: Vec<FunctionProto>,
    weight_dims: HashMap<String, Vec<i64>>,
}

impl Graph {
    /// Reads the bytes of the ONNX file `model`.
    ///
    /// # Errors
    /// [`Error::Model`] if the bytes are not ONNX, end early or hold no operator.
    ///
    /// ```
    /// let error = sparkcider::onnx::Graph::decode("empty.onnx", b"").unwrap_err();
    /// assert_eq!(error.to_string(), "model empty.onnx: cannot read ONNX graph: there is no graph in it");
    /// ```
    pub fn decode(model: &str, onnx: &[u8]) -> Result<Self> {
        let fault = |reason: String| Error::Model {
            model: model.to_owned(),
            reason: format!("cannot read ONNX graph: {reason}"),
        };
        let ModelProto { ir_version, graph, opset_import, metadata_props, functions } =
            ModelProto::decode(onnx).map_err(|error| fault(other_file(onnx).unwrap_or_else(|| error.to_string())))?;
        let graph =
            graph.filter(|graph| !graph.node.is_empty()).ok_or_else(|| fault("there is no graph in it".to_owned()))?;
        let mut external_files = BTreeSet::new();
        add_external_files(&graph, &mut external_files);
        let has_bfloat16 = graph.initializer.iter().any(|weight| weight.data_type == BFLOAT16);
        let mut weight_dims: HashMap<String, Vec<i64>> =
            graph.initializer.into_iter().map(|weight| (weight.name, weight.dims)).collect();
        let (weights, inputs): (Vec<_>, Vec<_>) =
            graph.input.into_iter().partition(|input| weight_dims.contains_key(&input.name));
        for node in graph.node.iter().filter(|node| node.op_type == "Constant") {
            weight_dims.extend(node.output.iter().map(|name| (name.clone(), node.constant_dims())));
        }
        Ok(Self {
            opset: opset_import.iter().find(|set| is_standard(&set.domain)).map_or(0, |set| set.version),
            inputs: inputs.into_iter().map(declared).collect(),
            outputs: graph.output.into_iter().map(declared).collect(),
            metadata: metadata_props.into_iter().map(|entry| (text(&entry.key), text(&entry.value))).collect(),
            external_files,
            weights_as_inputs: if ir_version < 4 { 0 } else { weights.len() },
            has_bfloat16,
            nodes: graph.node,
            functions,
            weight_dims,
        })
    }

    /// The tensors of the graph in the order of its operators.
    pub fn tensors(&self) -> impl Iterator<Item = GraphTensor> {
        let named = |node: &NodeProto| {
            let operator = node.op_type.clone();
            node.output.clone().into_iter().map(move |name| GraphTensor { name, operator: operator.clone() })
        };
        // an operator's optional output that nobody uses has no name
        self.nodes.iter().flat_map(named).filter(|tensor| !tensor.name.is_empty())
    }

    /// The operators; each comes after those whose results it takes.
    pub(crate) fn nodes(&self) -> &[NodeProto] {
        &self.nodes
    }

    /// The function of the file that an operator calls, if it is one.
    pub(super) fn function_of(&self, node: &NodeProto) -> Option<&FunctionProto> {
        self.functions.iter().find(|function| function.name == node.op_type && function.domain == node.domain)
    }

    /// Whether the range of values is found at run time, over all images of a run together: then each one's features depend on
    /// those beside it.
    pub(super) fn is_dynamically_quantized(&self) -> bool {
        self.nodes.iter().any(|node| node.op_type.starts_with("DynamicQuantize"))
    }

    /// The axes of a weight or constant; `None` for a tensor that is computed.
    pub(super) fn weight_dims(&self, name: &str) -> Option<&[i64]> {
        self.weight_dims.get(name).map(Vec::as_slice)
    }

    /// The operator that gives a tensor; `None` for an input or a weight.
    pub(super) fn giver(&self, name: &str) -> Option<&NodeProto> {
        self.nodes.iter().find(|node| node.output.iter().any(|output| output == name))
    }

    /// The operators that read a tensor.
    pub(super) fn readers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a NodeProto> {
        self.nodes.iter().filter(move |node| node.input.iter().any(|input| input == name))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a file is that is not ONNX, and what to do about it; `None` where its first bytes do not tell.
fn other_file(bytes: &[u8]) -> Option<String> {
    let kind = kind_of_file(bytes)?;
    let remedy = match kind {
        "a Git LFS pointer" => ": `git lfs pull` fetches the file itself",
        "an HTML page" => ": give the address of the file itself",
        "HDF5" | "a zip archive" => ": a model of Keras or PyTorch must be exported to ONNX first",
        _ => "",
    };
    Some(format!("this is {kind}{remedy}"))
}

fn add_external_files(graph: &GraphProto, found: &mut BTreeSet<String>) {
    let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
    let constants = attributes().filter_map(|attribute| attribute.t.as_ref());
    let external = graph.initializer.iter().chain(constants).filter(|tensor| tensor.is_external());
    found.extend(external.map(|tensor| tensor.external("location").unwrap_or_default()));
    for inner in attributes().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)) {
        add_external_files(inner, found);
    }
}

fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

fn declared(value: ValueInfoProto) -> Declared {
    let tensor = value.r#type.and_then(|kind| kind.tensor_type);
    let shape = tensor.and_then(|tensor| tensor.shape);
    let dims = |shape: TensorShapeProto| shape.dim.into_iter().map(|dim| dim.dim_value).collect();
    Declared { name: value.name, shape: shape.map(dims) }
}

/// The same ONNX file with the tensors `names` among its outputs.
///
/// Two serialised messages in a row are their merger: repeated fields are joined (Protocol Buffers encoding guide,
/// "Last One Wins"). So the weights need not be decoded.
#[must_use]
pub(super) fn with_outputs<'a>(mut onnx: Vec<u8>, names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let output = names.map(|name| ValueInfoProto { name: name.to_owned(), r#type: None }).collect();
    let graph = GraphProto { node: Vec::new(), initializer: Vec::new(), input: Vec::new(), output };
    let more = ModelProto { graph: Some(graph), ..ModelProto::default() };
    onnx.extend(more.encode_to_vec());
    onnx
}
