//! Encoded images to embeddings in small chunks, one outcome per row.

use std::path::Path;

use crate::Result;
use crate::image::decode::{DecodeOptions, decode};
use crate::image::resize::Resizer;
use crate::onnx::{Graph, Metadata, ModelFile, Network, Runtime, input_len};
use crate::options::Options;
use crate::preprocessing::Preprocessing;

/// What came of a batch: `values` is (N, D) row-major, zero where `errors` has a reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// (N, D) f32.
    pub values: Vec<f32>,
    /// One entry per row: `None` for an embedding, else why there is none.
    pub errors: Vec<Option<String>>,
}

/// Bytes to embeddings with one model.
#[derive(Debug)]
pub struct FeatureExtractor {
    checksum: Option<String>,
    preprocessing: Preprocessing,
    decode: DecodeOptions,
    resizer: Resizer,
    network: Option<Network>,
    embedding_dim: usize,
    chunk: usize,
    /// Input of one run, (chunk, ...); allocated once.
    tensor: Vec<f32>,
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
        let decode = options.decode()?;
        let file = ModelFile::open(model)?;
        let (name, checksum) = (file.name(), file.checksum());
        let graph = Graph::decode(&name, &file.onnx)?;
        let network = Network::load(file, &graph, runtime, options)?;
        let preprocessing = Preprocessing::resolve(network.input(), &Metadata::new(&name, &graph), options)?;
        let chunk = network.chunk(preprocessing.image_len());
        let mut extractor = Self {
            checksum: Some(checksum),
            decode,
            resizer: Resizer::default(),
            network: Some(network),
            embedding_dim: 0,
            chunk,
            tensor: vec![0.0; input_len(&name, chunk, preprocessing.size())?],
            preprocessing,
        };
        let mut probe = Vec::new();
        extractor.run(chunk, &mut probe)?;
        extractor.embedding_dim = probe.len() / chunk;
        Ok(extractor)
    }

    /// No network: the image itself, resized and scaled, (H, W, 3) unless `options` say otherwise.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if a value is out of its range, or is about the output of a network.
    pub fn pixels(options: &Options) -> Result<Self> {
        options.threads()?;
        Ok(Self::without_network(Preprocessing::pixels(options)?, options.decode()?))
    }

    /// The same preparation without the network: its `extract` gives the network's input, (N, 3 x H x W) in its layout.
    #[must_use]
    pub fn inputs(&self) -> Self {
        Self::without_network(self.preprocessing.clone(), self.decode)
    }

    fn without_network(preprocessing: Preprocessing, decode: DecodeOptions) -> Self {
        let embedding_dim = preprocessing.image_len();
        Self {
            checksum: None,
            preprocessing,
            decode,
            resizer: Resizer::default(),
            network: None,
            embedding_dim,
            chunk: 1,
            tensor: vec![0.0; embedding_dim],
        }
    }

    /// D, the length of an embedding.
    #[must_use]
    pub fn embedding_dim(&self) -> usize {
        self.embedding_dim
    }

    /// SHA-256 of the model file in hexadecimal; `None` without a network.
    #[must_use]
    pub fn checksum(&self) -> Option<&str> {
        self.checksum.as_deref()
    }

    /// How images are prepared, everything decided.
    #[must_use]
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Embeds each row's image file. A row without bytes or with a bad image gets zeros and a reason.
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
    /// assert_eq!(features.errors, [None, Some("null image".to_owned())]);
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn extract<'a>(&mut self, rows: impl ExactSizeIterator<Item = Option<&'a [u8]>>) -> Result<Features> {
        let n = rows.len();
        let mut values = vec![0.0; n * self.embedding_dim];
        let mut errors = Vec::with_capacity(n);
        let mut pending = Vec::with_capacity(self.chunk);
        let mut embeddings = Vec::with_capacity(self.chunk * self.embedding_dim);
        for (row, bytes) in rows.enumerate() {
            let outcome = match bytes {
                None => Some("null image".to_owned()),
                Some(bytes) => self.prepare(bytes, pending.len()).err().map(|error| error.to_string()),
            };
            if outcome.is_none() {
                pending.push(row);
            }
            errors.push(outcome);
            if pending.len() == self.chunk || (row + 1 == n && !pending.is_empty()) {
                self.run(pending.len(), &mut embeddings)?;
                for (row, embedding) in pending.drain(..).zip(embeddings.chunks_exact(self.embedding_dim)) {
                    values[row * self.embedding_dim..][..self.embedding_dim].copy_from_slice(embedding);
                }
                embeddings.clear();
            }
        }
        Ok(Features { values, errors })
    }

    /// Decodes, resizes and writes one image into its place of the chunk.
    fn prepare(&mut self, bytes: &[u8], place: usize) -> Result<()> {
        let image = decode(bytes, &self.decode)?;
        let image_len = self.preprocessing.image_len();
        let place = &mut self.tensor[place * image_len..][..image_len];
        self.preprocessing.write(&image, &mut self.resizer, place)
    }

    /// Appends the embeddings of the first `n` images of the chunk.
    fn run(&mut self, n: usize, out: &mut Vec<f32>) -> Result<()> {
        let image_len = self.preprocessing.image_len();
        match &mut self.network {
            None => out.extend_from_slice(&self.tensor[..n * image_len]),
            Some(network) => {
                // a graph with a fixed batch is always given a whole one; what is left in the rest is ignored
                let given = network.input().batch.map_or(n, |_| self.chunk);
                let start = out.len();
                network.embed(&self.tensor[..given * image_len], given, self.preprocessing.size(), out)?;
                let dim = (out.len() - start) / given;
                out.truncate(start + n * dim);
            }
        }
        Ok(())
    }
}
