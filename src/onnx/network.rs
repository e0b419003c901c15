//! Input tensors to embeddings: any ONNX network with one image input.

use std::{fmt, mem};

use ort::session::Session;
use ort::value::ValueType;

use super::channels::{first_convolution, map_layouts};
use super::choice::Choice;
use super::evaluation::check_evaluation;
use super::file::ModelFile;
use super::graph::Graph;
use super::input::{InputSpec, image_len, shape_text};
use super::metadata::{Metadata, Origin, Said};
use super::output::Output;
use super::runtime::Runtime;
use super::session::Sessions;
use super::tokens::Patch;
use super::values::{Element, floats};
use crate::options::{Options, PREFIX_TOKENS};
use crate::pooling::Pooling;
use crate::tensor::Layout;
use crate::{Error, Result, parse};

/// Input bytes per run that keep the first layers' data in a core's second-level cache (1-2 MiB on the server CPUs of
/// all three clouds): 1 image of 224 x 224, 8 of 100 x 100.
const CHUNK_BYTES: usize = 1 << 20;

/// Patches per run that fill the matrix products of a transformer: the table under "Small chunks" in docs/architecture.md.
const PATCHES_PER_RUN: usize = 200;

/// Most images per run; beyond this the cost of a call is lost in the noise even for the smallest network.
const MAX_CHUNK: usize = 8;

/// A network ready to run. Owns its session.
pub(crate) struct Network {
    session: Session,
    sessions: Sessions,
    input: InputSpec,
    /// In the order of the columns that come of them.
    outputs: Vec<Output>,
    /// How each was pooled in the last run.
    poolings: Vec<Option<Pooling>>,
    /// Whether the values of a run share one range, see [`Graph::is_dynamically_quantized`].
    is_dynamic: bool,
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Network").field("outputs", &self.outputs).finish_non_exhaustive()
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
        let choice = Choice::of(graph, &metadata, options.layer.as_ref())?;
        let names = choice.names.clone();
        check_evaluation(graph, &file.onnx, &model, &names)?;
        let (sessions, session) = Sessions::first(file, choice, runtime, options.threads()?)
            .map_err(|error| if graph.has_bfloat16 { without_bfloat16(error) } else { error })?;
        let (image, input) = image_input(&session, graph, &metadata, options.layout)?;
        let is_dynamic = graph.is_dynamically_quantized();
        if let Some(batch) = input.batch.filter(|&batch| is_dynamic && batch > 1) {
            let reason = format!(
                "is quantized dynamically and takes {batch} images at once: each image's features would depend on the \
                 others; export the network with a free or single batch axis, then quantize it again"
            );
            return Err(Error::Model { model, reason });
        }
        let layouts = map_layouts(graph, &image, input.layout);
        let said = layer_layout(&metadata, options)?;
        let pooling = pooling(&metadata, options)?;
        let prefix = metadata.or_said("prefix_tokens", options.prefix_tokens, parse_prefix_tokens)?;
        let patch = Patch::of(graph, &image);
        let output = |name: String| Output {
            model: model.clone(),
            known: layouts.get(name.as_str()).copied(),
            said,
            pooling,
            library: metadata.described("library").map(str::to_owned),
            prefix,
            patch,
            name,
        };
        let outputs = names.into_iter().map(output).collect();
        Ok(Self { session, sessions, input, outputs, poolings: Vec::new(), is_dynamic })
    }

    /// The same network with a session of its own, for another thread. The two share their weights if ONNX Runtime can; `size`
    /// is that of the images.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelIo`] or [`Error::Model`] if the file must be read again and is not what it was, or
    /// cannot be loaded again.
    pub(crate) fn twin(&mut self, size: (u32, u32)) -> Result<Self> {
        let Self { session, sessions, input, outputs, poolings, is_dynamic } = self;
        let next = sessions.next(|shared| {
            let before = embedding_of_noise(session, input, outputs, size);
            let own = mem::replace(session, shared);
            let same = before.is_some() && before == embedding_of_noise(session, input, outputs, size);
            if !same {
                *session = own;
            }
            same
        })?;
        let (sessions, outputs, poolings) = (sessions.clone(), outputs.clone(), poolings.clone());
        Ok(Self { session: next, sessions, input: *input, outputs, poolings, is_dynamic: *is_dynamic })
    }

    /// SHA-256 of the model file in hexadecimal.
    #[must_use]
    pub(crate) fn checksum(&self) -> &str {
        self.sessions.checksum()
    }

    /// The image input.
    #[must_use]
    pub(crate) fn input(&self) -> &InputSpec {
        &self.input
    }

    /// Images to give per run: what the graph demands; else 1 where images of one run would change each other's features; else as
    /// many as fit the cache or fill the matrix products, 1 to 8. `size` is that of the images, (height, width).
    #[must_use]
    pub(crate) fn chunk(&self, size: (u32, u32)) -> usize {
        let image_bytes = image_len(size) * size_of::<f32>();
        let patches =
            self.outputs.first().and_then(|output| output.patch).map_or(usize::MAX, |patch| patch.count(size));
        let most = if self.is_dynamic { 1 } else { MAX_CHUNK };
        let wanted = usize::max(CHUNK_BYTES / image_bytes, PATCHES_PER_RUN / patches.max(1));
        self.input.batch.unwrap_or(wanted.clamp(1, most))
    }

    /// Names of the tensors that embeddings are taken of, in the order of [`Self::embed`].
    pub(crate) fn output_names(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|output| output.name.as_str())
    }

    /// Runs the network on `tensor`, `n` images of `size` (height, width), and appends `n` vectors to the `columns` of
    /// each output.
    ///
    /// # Shapes
    /// `tensor`: (n, 3, H, W) or (n, H, W, 3) as [`InputSpec::layout`] says; appended to each column: (n, D of its output).
    ///
    /// # Errors
    /// [`Error::Model`] if the network fails or gives something else than float vectors or maps; [`Error::Option`] if it
    /// gives maps whose layout is neither known nor said, or an option has no effect on anything that it gives.
    pub(crate) fn embed(&mut self, tensor: &[f32], n: usize, size: (u32, u32), columns: &mut [Vec<f32>]) -> Result<()> {
        let Self { session, input, outputs, .. } = self;
        self.poolings = embed(session, outputs, input, tensor, (n, size), columns)?;
        Ok(())
    }

    /// Names of the tensors that embeddings are taken of, and how each is pooled; `None` for one that is a vector already. Known
    /// after the first run.
    pub(crate) fn poolings(&self) -> impl Iterator<Item = (&str, Option<Pooling>)> {
        self.output_names().zip(self.poolings.iter().copied())
    }
}

/// Runs `session` on `tensor`, `n` images of `size`, and appends the embeddings of each output to its column. Returns how each
/// was pooled.
fn embed(
    session: &mut Session,
    outputs: &[Output],
    input: &InputSpec,
    tensor: &[f32],
    (n, size): (usize, (u32, u32)),
    columns: &mut [Vec<f32>],
) -> Result<Vec<Option<Pooling>>> {
    let model = outputs.first().map_or("", |output| output.model.as_str());
    let fault = |reason: String| Error::Model { model: model.to_owned(), reason };
    let dims = input.shape(n, size);
    let value = input.element.input(dims, tensor).map_err(|error| fault(error.to_string()))?;
    let results =
        session.run([value]).map_err(|error| fault(format!("failed on input {}: {error}", shape_text(&dims))))?;
    let mut idle = Vec::with_capacity(outputs.len());
    let mut poolings = Vec::with_capacity(outputs.len());
    for (output, column) in outputs.iter().zip(columns) {
        let (shape, values) = floats(&results[output.name.as_str()])
            .map_err(|error| fault(format!("output '{}': {error}", output.name)))?;
        idle.push(output.idle_options(shape));
        poolings.push(output.append(shape, &values, (n, size), column)?);
    }
    idle_everywhere(idle).map_or(Ok(poolings), Err)
}

/// The refusal of an option that has no effect on any output; one that some output takes may stay.
fn idle_everywhere(idle: Vec<Vec<(&'static str, Error)>>) -> Option<Error> {
    let mut outputs = idle.into_iter();
    let (first, others) = (outputs.next()?, outputs.as_slice());
    let everywhere = |name: &str| others.iter().all(|other| other.iter().any(|(idle, _)| *idle == name));
    first.into_iter().find(|(name, _)| everywhere(name)).map(|(_, error)| error)
}

/// The bits of what a session makes of one run of noise; `None` if it fails.
fn embedding_of_noise(
    session: &mut Session,
    input: &InputSpec,
    outputs: &[Output],
    size: (u32, u32),
) -> Option<Vec<u32>> {
    let n = input.batch.unwrap_or(1);
    // every level of a byte, scattered: Knuth's multiplicative hash
    let level = |i: usize| (i as u32).wrapping_mul(2_654_435_761) >> 24;
    let value = |level: u32| if input.element == Element::U8 { level as f32 } else { level as f32 / 127.5 - 1.0 };
    let noise: Vec<f32> = (0..n * image_len(size)).map(|i| value(level(i))).collect();
    let mut columns = vec![Vec::new(); outputs.len()];
    embed(session, outputs, input, &noise, (n, size), &mut columns).ok()?;
    Some(columns.concat().into_iter().map(f32::to_bits).collect())
}

/// `pooling`: what the file says of tokens is about its own output and not about another layer, which may be a map.
fn pooling(metadata: &Metadata, options: &Options) -> Result<Option<Said<Pooling>>> {
    let said: Option<Said<Pooling>> = metadata.or_said("pooling", options.pooling, str::parse)?;
    let is_of_its_own =
        |said: &Said<Pooling>| said.origin == Origin::File && matches!(said.value, Pooling::Cls | Pooling::MeanTokens);
    Ok(said.filter(|said| options.layer.is_none() || !is_of_its_own(said)))
}

/// `layer_layout`: the file's is about its own output and not about another layer.
fn layer_layout(metadata: &Metadata, options: &Options) -> Result<Option<Said<Layout>>> {
    match (&options.layer, options.layer_layout) {
        (Some(_), user) => Ok(user.map(|value| Said { value, origin: Origin::User })),
        (None, user) => metadata.or_said("layer_layout", user, str::parse),
    }
}

/// The error with what helps where ONNX Runtime has no kernel for bfloat16.
fn without_bfloat16(error: Error) -> Error {
    match error {
        Error::Model { model, reason } => {
            let hint = "its weights are bfloat16, for which ONNX Runtime has few kernels on CPUs: save it as float32 or float16";
            Error::Model { model, reason: format!("{reason}; {hint}") }
        }
        other => other,
    }
}

fn parse_prefix_tokens(text: &str) -> Result<u64> {
    parse::whole_number("prefix_tokens", &PREFIX_TOKENS, text.parse().ok(), &format!("'{text}'"))
}

/// The one image input of a session of `graph`: its name and its axes.
pub(crate) fn image_input(
    session: &Session,
    graph: &Graph,
    metadata: &Metadata,
    layout: Option<Layout>,
) -> Result<(String, InputSpec)> {
    let fault = |reason: String| Error::Model { model: metadata.model().to_owned(), reason };
    let [input] = session.inputs() else {
        return Err(fault("expects one image input, found none".to_owned())); // of several the others were cut off
    };
    let name = input.name();
    let (element, shape) = match input.dtype() {
        ValueType::Tensor { ty, shape, .. } => (Element::of(*ty), &**shape),
        _ => (None, [].as_slice()),
    };
    let element = element.ok_or_else(|| {
        let expected = "expects an image input of float32, float16, bfloat16 or uint8";
        fault(format!("{expected}, found input '{name}' of {}", input.dtype()))
    })?;
    // the name that exporters of Hugging Face's models give it: (N, 3, H, W)
    let is_channels_first = || name == "pixel_values" || first_convolution(graph, name).is_some();
    let input = InputSpec::from_dims(shape, element, metadata, layout, is_channels_first)?;
    Ok((name.to_owned(), input))
}
