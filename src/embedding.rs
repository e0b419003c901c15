//! Input tensors to embeddings: any ONNX network with one image input.

use std::path::Path;
use std::str::FromStr;
use std::{fmt, fs, iter};

use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use crate::model::{InputSpec, ModelFile, shape_text};
use crate::tensor::Layout;
use crate::{Error, Result, graph, onnxruntime};

/// Input bytes per run that keep the first layers' data in a core's second-level cache (1-2 MiB on the server CPUs of
/// all three clouds): 1 image of 224 x 224, 8 of 100 x 100.
const CHUNK_BYTES: usize = 1 << 20;

/// Most images per run; beyond this the cost of a call is lost in the noise even for the smallest network.
const MAX_CHUNK: usize = 8;

/// How a feature map (N, C, H, W) or (N, H, W, C) becomes one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// Mean over H and W: C values.
    #[default]
    Avg,
    /// Largest over H and W: C values.
    Max,
    /// All values in the graph's own order.
    Flatten,
}

impl FromStr for Pooling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "avg" => Ok(Self::Avg),
            "max" => Ok(Self::Max),
            "flatten" => Ok(Self::Flatten),
            _ => Err(Error::Option {
                name: "pooling",
                expected: "avg, max or flatten".to_owned(),
                found: format!("'{text}'"),
            }),
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Avg => "avg",
            Self::Max => "max",
            Self::Flatten => "flatten",
        })
    }
}

/// A network ready to run. Owns its session.
pub struct Embedder {
    session: Session,
    model: String,
    input: InputSpec,
    output: String,
    pooling: Pooling,
}

impl fmt::Debug for Embedder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Embedder")
            .field("model", &self.model)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

impl Embedder {
    /// Loads the network: sequential, `intra_threads` threads inside an operator, none of them spinning.
    ///
    /// `layer` chooses an output, or any tensor inside the graph, by name (default: the first output); `pooling` applies to 4-D outputs.
    ///
    /// # Errors
    /// [`Error::Runtime`] without ONNX Runtime; [`Error::Model`] if the file is no ONNX, or its inputs or outputs do not
    /// fit; [`Error::Option`] if there is no tensor of that name.
    pub fn load(
        file: &ModelFile,
        library: &Path,
        layer: Option<&str>,
        layout: Option<Layout>,
        pooling: Option<Pooling>,
        intra_threads: usize,
    ) -> Result<Self> {
        let model = file.path.display().to_string();
        let fault = |reason: String| Error::Model { model: model.clone(), reason };
        let environment = onnxruntime::environment(library)?;
        let no_onnx = |cause| fault(format!("ONNX Runtime cannot load it as ONNX: {cause}"));
        let build = |commit: &dyn Fn(&mut SessionBuilder) -> ort::Result<Session>| {
            build(&environment, intra_threads, GraphOptimizationLevel::Level3, commit)
        };
        let session = build(&|builder| builder.commit_from_file(&file.path));
        let mut session = session.map_err(no_onnx)?;
        let input = image_input(&session, layout).map_err(fault)?;
        let layer = layer.map(str::to_owned).or_else(|| metadata(&session, "output_name"));
        let outputs: Vec<&str> = session.outputs().iter().map(Outlet::name).collect();
        let output = layer.unwrap_or_else(|| outputs.first().copied().unwrap_or_default().to_owned());
        if !outputs.contains(&output.as_str()) {
            let onnx = with_layer(file, &output, &outputs)?;
            session = build(&|builder| builder.commit_from_memory(&onnx)).map_err(no_onnx)?;
        }
        let metadata = |key: &str| metadata(&session, key);
        let pooling = match (pooling, metadata("pooling")) {
            (Some(pooling), _) => pooling,
            (None, Some(text)) => text.parse()?,
            (None, None) => Pooling::default(),
        };
        Ok(Self { session, model, input, output, pooling })
    }

    /// The image input.
    #[must_use]
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// The file's metadata under `sparkcider.KEY`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<String> {
        metadata(&self.session, key)
    }

    /// Images to give per run: as many as fit the cache, 1 to 8, or just what the graph demands.
    #[must_use]
    pub fn chunk(&self, height: u32, width: u32) -> usize {
        let image_bytes = height as usize * width as usize * 3 * size_of::<f32>();
        self.input.batch.unwrap_or((CHUNK_BYTES / image_bytes).clamp(1, MAX_CHUNK))
    }

    /// Runs the network on `tensor`, `n` images of (`height`, `width`), and appends `n` embeddings to `out`.
    ///
    /// # Shapes
    /// `tensor`: (n, 3, H, W) or (n, H, W, 3) as [`InputSpec::layout`] says; appended: (n, D).
    ///
    /// # Errors
    /// [`Error::Model`] if the network fails or gives something else than float vectors or maps.
    pub fn embed(&mut self, tensor: &[f32], n: usize, height: u32, width: u32, out: &mut Vec<f32>) -> Result<()> {
        let fault = |model: &str, reason: String| Error::Model { model: model.to_owned(), reason };
        let (h, w) = (i64::from(height), i64::from(width));
        let count = i64::try_from(n).unwrap_or(i64::MAX);
        let dims = match self.input.layout {
            Layout::Nchw => [count, 3, h, w],
            Layout::Nhwc => [count, h, w, 3],
        };
        let value = TensorRef::from_array_view((dims, tensor)).map_err(|e| fault(&self.model, e.to_string()))?;
        let outputs = self
            .session
            .run([SessionInputValue::from(value)])
            .map_err(|e| fault(&self.model, format!("failed on input {}: {e}", shape_text(&dims))))?;
        let (shape, values) = outputs[self.output.as_str()]
            .try_extract_tensor::<f32>()
            .map_err(|e| fault(&self.model, format!("output '{}': {e}", self.output)))?;
        pool(shape, values, n, self.input.layout, self.pooling, out)
            .map_err(|reason| fault(&self.model, format!("output '{}' {reason}", self.output)))
    }
}

/// A session that takes no core from others: sequential, no spinning threads.
pub(crate) fn build(
    environment: &Environment,
    intra_threads: usize,
    optimization: GraphOptimizationLevel,
    commit: impl FnOnce(&mut SessionBuilder) -> ort::Result<Session>,
) -> std::result::Result<Session, String> {
    let text = |error: ort::Error<_>| first_line(&error.to_string());
    let mut builder = Session::builder(environment)
        .map_err(|error| first_line(&error.to_string()))?
        .with_optimization_level(optimization)
        .map_err(text)?
        .with_parallel_execution(false)
        .map_err(text)?
        .with_intra_threads(intra_threads)
        .map_err(text)?
        // a spinning thread takes the core from the next Spark task
        .with_intra_op_spinning(false)
        .map_err(text)?;
    commit(&mut builder).map_err(|error| first_line(&error.to_string()))
}

/// The model with one of its inner tensors, `layer`, as one more output.
fn with_layer(file: &ModelFile, layer: &str, outputs: &[&str]) -> Result<Vec<u8>> {
    let onnx = fs::read(&file.path)
        .map_err(|error| Error::Model { model: file.path.display().to_string(), reason: error.to_string() })?;
    if graph::tensors(&onnx)?.iter().any(|tensor| tensor.name == layer) {
        return Ok(graph::with_outputs(onnx, iter::once(layer)));
    }
    Err(Error::Option {
        name: "layer",
        expected: format!("a tensor of the model's graph, such as its outputs ({})", outputs.join(", ")),
        found: format!("'{layer}'"),
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn metadata(session: &Session, key: &str) -> Option<String> {
    session.metadata().ok()?.custom(&format!("sparkcider.{key}"))
}

/// The one image input of a session.
pub(crate) fn image_input(session: &Session, layout: Option<Layout>) -> std::result::Result<InputSpec, String> {
    let [input] = session.inputs() else {
        let names: Vec<&str> = session.inputs().iter().map(Outlet::name).collect();
        return Err(format!("expects one image input, found {}: {}", names.len(), names.join(", ")));
    };
    let layout = match layout {
        Some(layout) => Some(layout),
        None => metadata(session, "layout").map(|text| text.parse()).transpose().map_err(|e: Error| e.to_string())?,
    };
    match input.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => InputSpec::from_dims(shape, layout),
        other => Err(format!("expects an image input of float32, found input '{}' of {other}", input.name())),
    }
}

/// Appends one vector per image; a sentence says why where the output is no vector or map.
fn pool(
    shape: &[i64],
    values: &[f32],
    n: usize,
    layout: Layout,
    pooling: Pooling,
    out: &mut Vec<f32>,
) -> std::result::Result<(), String> {
    let rows = shape.first().and_then(|&rows| usize::try_from(rows).ok());
    if rows != Some(n) || values.is_empty() {
        return Err(format!("must give {n} rows, found {}", shape_text(shape)));
    }
    match *shape {
        [_, _] => out.extend_from_slice(values),
        [_, a, b, c] if pooling != Pooling::Flatten => {
            let side = |dim: i64| usize::try_from(dim).unwrap_or(0);
            let (channels, area) = match layout {
                Layout::Nchw => (side(a), side(b) * side(c)),
                Layout::Nhwc => (side(c), side(a) * side(b)),
            };
            for map in values.chunks_exact(channels * area) {
                pool_map(map, channels, area, layout, pooling, out);
            }
        }
        _ if pooling == Pooling::Flatten => out.extend_from_slice(values),
        _ => return Err(format!("must be (N, D) or a 4-D feature map, or be flattened, found {}", shape_text(shape))),
    }
    Ok(())
}

fn pool_map(map: &[f32], channels: usize, area: usize, layout: Layout, pooling: Pooling, out: &mut Vec<f32>) {
    let at = |channel: usize, position: usize| match layout {
        Layout::Nchw => map[channel * area + position],
        Layout::Nhwc => map[position * channels + channel],
    };
    #[allow(clippy::cast_precision_loss)] // a map's area is far below 2^24
    let count = area as f32;
    out.extend((0..channels).map(|channel| {
        let positions = (0..area).map(|position| at(channel, position));
        match pooling {
            Pooling::Max => positions.fold(f32::NEG_INFINITY, f32::max),
            _ => positions.sum::<f32>() / count,
        }
    }));
}
