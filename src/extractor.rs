//! Encoded images to embeddings in small chunks, one outcome per row.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::image::RgbImage;
use crate::image::resize::Resizer;
use crate::onnx::{Graph, Metadata, ModelFile, Network, Runtime, classifier_doubt, describe, input_len};
use crate::options::{Layers, Options};
use crate::pooling::{Pooling, l2_normalize};
use crate::preprocessing::Preprocessing;
use crate::stage_times::{Stage, StageTimes};
use crate::{ErrorKind, Result, RowFault, parse};

/// What came of a batch: `values` is (N, D) row-major, zero where `errors` has a fault. Of several layers, D is the sum of
/// theirs: each row has their vectors one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// (N, D) f32.
    pub values: Vec<f32>,
    /// One entry per row: `None` for an embedding, else why there is none.
    pub errors: Vec<Option<RowFault>>,
}

/// Bytes to embeddings with one model.
#[derive(Debug)]
pub struct FeatureExtractor {
    preprocessing: Preprocessing,
    resizer: Resizer,
    network: Option<Network>,
    /// D of each output of the network, or the one of the pixels.
    dims: Vec<usize>,
    /// What is wrong with the output that is taken because nobody names one.
    doubt: Option<String>,
    /// Whether several layers were requested, be it a list of one.
    is_several: bool,
    /// Whether each vector is divided by its norm.
    l2_normalize: bool,
    chunk: usize,
    /// Input of one run, (chunk, ...); allocated once.
    tensor: Vec<f32>,
    times: Arc<StageTimes>,
}

impl FeatureExtractor {
    /// Prepares the network of the ONNX file `model`. It is run once on a black image, so that what cannot work fails here.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::Model`], [`Error::Runtime`] or [`Error::Option`], each before any image is read.
    ///
    /// [`Error::ModelNotFound`]: crate::Error::ModelNotFound
    /// [`Error::Model`]: crate::Error::Model
    /// [`Error::Runtime`]: crate::Error::Runtime
    /// [`Error::Option`]: crate::Error::Option
    pub fn new(model: &Path, runtime: &Runtime, options: &Options) -> Result<Self> {
        let file = ModelFile::open(model)?;
        let name = file.name();
        let mut graph = Graph::decode(&name, &file.onnx)?;
        describe(&mut graph.metadata, &options.description)?;
        let network = Network::load(file, &graph, runtime, options)?;
        let metadata = Metadata::new(&name, &graph);
        let preprocessing = Preprocessing::resolve(network.input(), &metadata, options)?;
        let l2_normalize = metadata.or_said("l2_normalize", options.l2_normalize, parse_l2_normalize)?;
        let chunk = network.chunk(preprocessing.size());
        let is_named = options.layer.is_some() || metadata.or_said("output_name", None, |_| Ok(()))?.is_some();
        let mut extractor = Self {
            resizer: Resizer::default(),
            network: Some(network),
            dims: Vec::new(),
            doubt: if is_named { None } else { classifier_doubt(&graph) },
            is_several: matches!(options.layer, Some(Layers::Several(_))),
            l2_normalize: l2_normalize.is_some_and(|said| said.value),
            chunk,
            tensor: vec![0.0; input_len(&name, chunk, preprocessing.size())?],
            preprocessing,
            times: Arc::default(),
        };
        let mut probe = extractor.empty_columns();
        extractor.run(chunk, &mut probe)?;
        extractor.dims = probe.iter().map(|column| column.len() / chunk).collect();
        extractor.times = Arc::default(); // no image was in the probe
        Ok(extractor)
    }

    /// No network: the image itself, resized and scaled, (H, W, 3) unless `options` say otherwise.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if a value is out of its range, or is about the output of a network.
    pub fn pixels(options: &Options) -> Result<Self> {
        options.threads()?;
        let l2_normalize = options.l2_normalize.unwrap_or_default();
        Ok(Self { l2_normalize, ..Self::without_network(Preprocessing::pixels(options)?) })
    }

    /// The same preparation without the network: its `extract` gives the network's input, (N, 3 x H x W) in its layout.
    #[must_use]
    pub fn inputs(&self) -> Self {
        Self::without_network(self.preprocessing.clone())
    }

    /// A second extractor that does the same, bit for bit, for another thread: same model, same options. Its
    /// [`times`](Self::times) are its own.
    ///
    /// The two, and those that come of either, hold the weights of the network once, if ONNX Runtime can share them. Only the
    /// first call of an extractor reads the model file again.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelIo`] or [`Error::Model`] if the model file must be read again and has changed, or
    /// cannot be loaded again.
    ///
    /// [`Error::ModelNotFound`]: crate::Error::ModelNotFound
    /// [`Error::ModelIo`]: crate::Error::ModelIo
    /// [`Error::Model`]: crate::Error::Model
    pub fn twin(&mut self) -> Result<Self> {
        let size = self.preprocessing.size();
        Ok(Self {
            preprocessing: self.preprocessing.clone(),
            resizer: Resizer::default(),
            network: self.network.as_mut().map(|network| network.twin(size)).transpose()?,
            dims: self.dims.clone(),
            doubt: self.doubt.clone(),
            is_several: self.is_several,
            l2_normalize: self.l2_normalize,
            chunk: self.chunk,
            tensor: vec![0.0; self.tensor.len()],
            times: Arc::default(),
        })
    }

    fn without_network(preprocessing: Preprocessing) -> Self {
        let embedding_dim = preprocessing.image_len();
        Self {
            preprocessing,
            resizer: Resizer::default(),
            network: None,
            dims: vec![embedding_dim],
            doubt: None,
            is_several: false,
            l2_normalize: false,
            chunk: 1,
            tensor: vec![0.0; embedding_dim],
            times: Arc::default(),
        }
    }

    /// D, the length of an embedding; of several layers the sum of theirs.
    #[must_use]
    pub fn embedding_dim(&self) -> usize {
        self.dims.iter().sum()
    }

    /// Name and D of each layer, in the order of their values; `None` unless a list of layers was requested.
    #[must_use]
    pub fn layers(&self) -> Option<Vec<(&str, usize)>> {
        let network = self.network.as_ref().filter(|_| self.is_several)?;
        Some(network.output_names().zip(self.dims.iter().copied()).collect())
    }

    /// Name of each tensor that embeddings are taken of and how it is pooled, in the order of their values; `None` for one that is
    /// a vector already. Empty without a network.
    #[must_use]
    pub fn outputs(&self) -> Vec<(&str, Option<Pooling>)> {
        self.network.iter().flat_map(Network::poolings).collect()
    }

    /// What is wrong with the output that is taken because nobody names one, in a sentence: it is a classifier's.
    #[must_use]
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// Whether each vector is divided by its Euclidean norm.
    #[must_use]
    pub fn is_l2_normalized(&self) -> bool {
        self.l2_normalize
    }

    /// SHA-256 of the model file in hexadecimal; `None` without a network.
    #[must_use]
    pub fn checksum(&self) -> Option<&str> {
        self.network.as_ref().map(Network::checksum)
    }

    /// How images are prepared, everything decided.
    #[must_use]
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The time that each stage has taken, over all calls of [`extract`](Self::extract). A caller that keeps it can read it while a call
    /// runs.
    #[must_use]
    pub fn times(&self) -> Arc<StageTimes> {
        Arc::clone(&self.times)
    }

    /// Embeds each row's image file. A row without bytes or with a bad image gets zeros, a kind and a reason.
    ///
    /// # Shapes
    /// N rows in; [`Features::values`] (N, D), [`Features::errors`] N.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if the network itself fails: then no row can be right.
    ///
    /// ```
    /// use sparkcider::{FeatureExtractor, Options};
    ///
    /// let options = Options { input_size: Some((1, 1)), ..Options::default() };
    /// let red = sparkcider::image::encode_jpeg(&[200, 0, 0].repeat(64), 8, 8, 100)?;
    /// let mut extractor = FeatureExtractor::pixels(&options)?;
    /// let features = extractor.extract([Some(red.as_slice()), None].into_iter())?;
    /// assert_eq!(features.values.len(), 2 * extractor.embedding_dim());
    /// assert_eq!(features.errors[0], None);
    /// assert_eq!(features.errors[1].as_ref().map(|fault| fault.kind.word()), Some("null"));
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn extract<'a>(&mut self, rows: impl ExactSizeIterator<Item = Option<&'a [u8]>>) -> Result<Features> {
        self.extract_and(rows, |_, _, _| {})
    }

    /// The same, with a look at each image that could be decoded: `look` gets its row, its bytes and its pixels.
    ///
    /// # Errors
    /// As [`extract`](Self::extract).
    pub fn extract_and<'a>(
        &mut self,
        rows: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
        mut look: impl FnMut(usize, &[u8], &RgbImage),
    ) -> Result<Features> {
        let (n, embedding_dim) = (rows.len(), self.embedding_dim());
        let mut values = vec![0.0; n * embedding_dim];
        let mut errors = Vec::with_capacity(n);
        let mut pending = Vec::with_capacity(self.chunk);
        let mut columns = self.empty_columns();
        for (row, bytes) in rows.enumerate() {
            let outcome = match bytes {
                None => Some(RowFault { kind: ErrorKind::Null, reason: "null image".to_owned() }),
                Some(bytes) => self.prepare(bytes, pending.len(), |image| look(row, bytes, image)).err(),
            };
            if outcome.is_none() {
                pending.push(row);
            }
            errors.push(outcome);
            if pending.len() == self.chunk || (row + 1 == n && !pending.is_empty()) {
                self.run(pending.len(), &mut columns)?;
                let mut offset = 0;
                for (column, &dim) in columns.iter_mut().zip(&self.dims) {
                    for (&row, embedding) in pending.iter().zip(column.chunks_exact(dim)) {
                        let place = &mut values[row * embedding_dim + offset..][..dim];
                        place.copy_from_slice(embedding);
                        if self.l2_normalize {
                            l2_normalize(place);
                        }
                    }
                    offset += dim;
                    column.clear();
                }
                pending.clear();
            }
        }
        Ok(Features { values, errors })
    }

    /// Decodes, resizes and writes one image into its place of the chunk; `look` sees its pixels.
    fn prepare(
        &mut self,
        bytes: &[u8],
        place: usize,
        look: impl FnOnce(&RgbImage),
    ) -> std::result::Result<(), RowFault> {
        let start = Instant::now();
        let decoded = self.preprocessing.decode(bytes);
        let start = self.times.add(Stage::Decoding, start);
        // an error that is not about the image is a codec's that damaged data misled
        let image = decoded.map_err(|error| RowFault::new(&error, ErrorKind::Damaged))?;
        let image_len = self.preprocessing.image_len();
        let place = &mut self.tensor[place * image_len..][..image_len];
        let written = self.preprocessing.write(&image, &mut self.resizer, place);
        if written.is_ok() {
            look(&image);
        }
        self.times.add(Stage::Resizing, start);
        written.map_err(|error| RowFault::new(&error, ErrorKind::TooLarge)) // a side too long to be resized
    }

    /// A vector for each output.
    fn empty_columns(&self) -> Vec<Vec<f32>> {
        vec![Vec::new(); self.network.as_ref().map_or(1, |network| network.output_names().count())]
    }

    /// Appends the embeddings of the first `n` images of the chunk, each output to its column.
    fn run(&mut self, n: usize, columns: &mut [Vec<f32>]) -> Result<()> {
        let image_len = self.preprocessing.image_len();
        match &mut self.network {
            None => columns[0].extend_from_slice(&self.tensor[..n * image_len]),
            Some(network) => {
                // a graph with a fixed batch is always given a whole one; what is left in the rest is ignored
                let given = network.input().batch.map_or(n, |_| self.chunk);
                let start = Instant::now();
                network.embed(&self.tensor[..given * image_len], given, self.preprocessing.size(), columns)?;
                self.times.add(Stage::Inference, start);
                for column in columns {
                    column.truncate(column.len() / given * n);
                }
            }
        }
        Ok(())
    }
}

fn parse_l2_normalize(text: &str) -> Result<bool> {
    parse::choice("l2_normalize", &[("true", true), ("false", false)], text)
}
