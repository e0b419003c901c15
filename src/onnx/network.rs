//! Input tensors to embeddings: any ONNX network with one image input.

use std::{fmt, iter};

use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::channels::map_layouts;
use super::file::ModelFile;
use super::graph::{self, Graph};
use super::input::{InputSpec, shape_text};
use super::metadata::{Metadata, Origin, Said};
use super::output::Output;
use super::runtime::Runtime;
use crate::options::Options;
use crate::tensor::Layout;
use crate::{Error, Result};

/// Input bytes per run that keep the first layers' data in a core's second-level cache (1-2 MiB on the server CPUs of
/// all three clouds): 1 image of 224 x 224, 8 of 100 x 100.
const CHUNK_BYTES: usize = 1 << 20;

/// Most images per run; beyond this the cost of a call is lost in the noise even for the smallest network.
const MAX_CHUNK: usize = 8;

/// A network ready to run. Owns its session.
pub(crate) struct Network {
    session: Session,
    input: InputSpec,
    output: Output,
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Network").field("output", &self.output).finish_non_exhaustive()
    }
}

impl Network {
    /// Loads the network of `file`, whose `graph` it is: sequential, no thread spinning.
    ///
    /// # Errors
    /// [`Error::Runtime`] without ONNX Runtime; [`Error::Model`] if ONNX Runtime cannot load the file, its inputs or
    /// outputs do not fit, or its metadata is wrong; [`Error::Option`] if an option of the network cannot be as it is.
    pub(crate) fn load(file: ModelFile, graph: &Graph, runtime: &Runtime, options: &Options) -> Result<Self> {
        let model = file.name();
        let metadata = Metadata::new(&model, graph);
        let name = output_name(graph, &metadata, options)?;
        let threads = options.threads()?;
        let load = |commit: &dyn Fn(&mut SessionBuilder) -> ort::Result<Session>| {
            runtime.session(threads, GraphOptimizationLevel::Level3, commit).map_err(|cause| Error::Model {
                model: model.clone(),
                reason: format!("ONNX Runtime cannot load it as ONNX: {cause}"),
            })
        };
        let session = if graph.outputs.iter().any(|output| output.name == name) {
            load(&|builder| builder.commit_from_file(&file.path))?
        } else {
            let onnx = graph::with_outputs(file.onnx, iter::once(name.as_str()));
            load(&|builder| builder.commit_from_memory(&onnx))?
        };
        let (image, input) = image_input(&session, &metadata, options.layout)?;
        let output = Output {
            known: map_layouts(graph, &image, input.layout).get(name.as_str()).copied(),
            said: layer_layout(&metadata, options)?,
            pooling: metadata.or_said("pooling", options.pooling, str::parse)?,
            model,
            name,
        };
        Ok(Self { session, input, output })
    }

    /// The image input.
    #[must_use]
    pub(crate) fn input(&self) -> &InputSpec {
        &self.input
    }

    /// Images to give per run: as many as fit the cache, 1 to 8, or just what the graph demands. `image_len` is the
    /// number of values of one.
    #[must_use]
    pub(crate) fn chunk(&self, image_len: usize) -> usize {
        let image_bytes = image_len * size_of::<f32>();
        self.input.batch.unwrap_or((CHUNK_BYTES / image_bytes).clamp(1, MAX_CHUNK))
    }

    /// Runs the network on `tensor`, `n` images of `size` (height, width), and appends `n` embeddings to `out`.
    ///
    /// # Shapes
    /// `tensor`: (n, 3, H, W) or (n, H, W, 3) as [`InputSpec::layout`] says; appended: (n, D).
    ///
    /// # Errors
    /// [`Error::Model`] if the network fails or gives something else than float vectors or maps; [`Error::Option`] if it
    /// gives maps whose layout is neither known nor said, or an option has no effect on what it gives.
    pub(crate) fn embed(&mut self, tensor: &[f32], n: usize, size: (u32, u32), out: &mut Vec<f32>) -> Result<()> {
        let Self { session, input, output } = self;
        let fault = |reason: String| Error::Model { model: output.model.clone(), reason };
        let dims = input.shape(n, size);
        let value = TensorRef::from_array_view((dims, tensor)).map_err(|error| fault(error.to_string()))?;
        let outputs = session
            .run([SessionInputValue::from(value)])
            .map_err(|error| fault(format!("failed on input {}: {error}", shape_text(&dims))))?;
        let (shape, values) = outputs[output.name.as_str()]
            .try_extract_tensor::<f32>()
            .map_err(|error| fault(format!("output '{}': {error}", output.name)))?;
        output.append(shape, values, n, out)
    }
}

/// The output to take: the user's `layer`, else the file's `output_name`, else the first.
fn output_name(graph: &Graph, metadata: &Metadata, options: &Options) -> Result<String> {
    let outputs: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
    let said = match &options.layer {
        Some(layer) => Some(("layer", Said { value: layer.clone(), origin: Origin::User })),
        None => metadata.or_said("output_name", None, |text| Ok(text.to_owned()))?.map(|said| ("output_name", said)),
    };
    let Some((option, Said { value: name, origin })) = said else {
        return Ok(outputs.first().copied().unwrap_or_default().to_owned());
    };
    if outputs.contains(&name.as_str()) || graph.tensors().any(|tensor| tensor.name == name) {
        return Ok(name);
    }
    let expected = format!("a tensor of the model's graph, such as its outputs ({})", outputs.join(", "));
    Err(origin.refuse(metadata.model(), option, expected, format!("'{name}'")))
}

/// `layer_layout`: the file's is about its own output and not about another layer.
fn layer_layout(metadata: &Metadata, options: &Options) -> Result<Option<Said<Layout>>> {
    match (&options.layer, options.layer_layout) {
        (Some(_), user) => Ok(user.map(|value| Said { value, origin: Origin::User })),
        (None, user) => metadata.or_said("layer_layout", user, str::parse),
    }
}

/// The one image input of a session: its name and its axes.
pub(crate) fn image_input(
    session: &Session,
    metadata: &Metadata,
    layout: Option<Layout>,
) -> Result<(String, InputSpec)> {
    let fault = |reason: String| Error::Model { model: metadata.model().to_owned(), reason };
    let [input] = session.inputs() else {
        let names: Vec<&str> = session.inputs().iter().map(Outlet::name).collect();
        return Err(fault(format!("expects one image input, found {}: {}", names.len(), names.join(", "))));
    };
    match input.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => {
            Ok((input.name().to_owned(), InputSpec::from_dims(shape, metadata, layout)?))
        }
        other => Err(fault(format!("expects an image input of float32, found input '{}' of {other}", input.name()))),
    }
}
