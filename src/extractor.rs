//! Encoded images to embeddings in small chunks, one outcome per row.

use std::path::Path;

use crate::embedding::{Embedder, Pooling};
use crate::image::decode::{DecodeOptions, decode};
use crate::image::resize::Resizer;
use crate::model::{ModelFile, ModelOptions, PIXELS, Preprocessing};
use crate::tensor::TensorWriter;
use crate::{Error, Result, onnxruntime};

/// Everything that a user can say about an extraction.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractorOptions {
    /// How bytes become pixels.
    pub decode: DecodeOptions,
    /// How pixels become the model's input.
    pub model: ModelOptions,
    /// Output tensor to take; default: the model file's word, else its first output.
    pub layer: Option<String>,
    /// How a 4-D output becomes a vector; default: the model file's word, else the mean.
    pub pooling: Option<Pooling>,
    /// Threads inside one operator. Default 1: a Spark task is one core.
    pub intra_threads: usize,
}

impl Default for ExtractorOptions {
    fn default() -> Self {
        Self {
            decode: DecodeOptions::default(),
            model: ModelOptions::default(),
            layer: None,
            pooling: None,
            intra_threads: 1,
        }
    }
}

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
    checksum: String,
    preprocessing: Preprocessing,
    decode: DecodeOptions,
    resizer: Resizer,
    writer: TensorWriter,
    network: Option<Embedder>,
    embedding_dim: usize,
    chunk: usize,
    /// Input of one run, (chunk, ...); allocated once.
    tensor: Vec<f32>,
}

impl FeatureExtractor {
    /// Prepares `model`: [`PIXELS`] or the path of an ONNX file, run by the ONNX Runtime in the folder `bundled` (or the
    /// one that `SPARKCIDER_ONNXRUNTIME` names). A network is run once on a black image, so that what cannot work fails here.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::Model`], [`Error::Runtime`] or [`Error::Option`], each before any image is read.
    pub fn new(model: &str, bundled: &Path, options: &ExtractorOptions) -> Result<Self> {
        if options.intra_threads == 0 {
            return Err(Error::Option {
                name: "intra_threads",
                expected: "at least 1".to_owned(),
                found: "0".to_owned(),
            });
        }
        if model == PIXELS {
            return Self::assemble(PIXELS.to_owned(), Preprocessing::pixels(&options.model), None, options);
        }
        let file = ModelFile::open(Path::new(model))?;
        let library = onnxruntime::library(bundled)?;
        let network = Embedder::load(
            &file,
            &library,
            options.layer.as_deref(),
            options.model.layout,
            options.pooling,
            options.intra_threads,
        )?;
        let metadata = |key: &str| network.metadata(key);
        let preprocessing = Preprocessing::resolve(model, network.input(), &metadata, &options.model)?;
        Self::assemble(file.checksum, preprocessing, Some(network), options)
    }

    fn assemble(
        checksum: String,
        preprocessing: Preprocessing,
        network: Option<Embedder>,
        options: &ExtractorOptions,
    ) -> Result<Self> {
        let Preprocessing { height, width, layout, color_order, normalization, .. } = preprocessing;
        let image_len = height as usize * width as usize * 3;
        let chunk = network.as_ref().map_or(1, |network| network.chunk(height, width));
        let mut extractor = Self {
            checksum,
            preprocessing,
            decode: options.decode,
            resizer: Resizer::default(),
            writer: TensorWriter::new(layout, color_order.unwrap_or(normalization.color_order()), normalization)?,
            network,
            embedding_dim: image_len,
            chunk,
            tensor: vec![0.0; chunk * image_len],
        };
        let mut probe = Vec::new();
        extractor.run(chunk, &mut probe)?;
        extractor.embedding_dim = probe.len() / chunk;
        Ok(extractor)
    }

    /// The same preparation without the network: its `extract` gives the network's input, (N, 3 x H x W) in its layout.
    #[must_use]
    pub fn inputs(&self) -> Self {
        let Preprocessing { height, width, .. } = self.preprocessing;
        let embedding_dim = height as usize * width as usize * 3;
        Self {
            checksum: PIXELS.to_owned(),
            preprocessing: self.preprocessing,
            decode: self.decode,
            resizer: Resizer::default(),
            writer: self.writer.clone(),
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

    /// SHA-256 of the model file in hexadecimal, or `pixels`.
    #[must_use]
    pub fn checksum(&self) -> &str {
        &self.checksum
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
    /// [`Error::Model`] if the network itself fails: then no row can be right.
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
        let Preprocessing { height, width, resize_mode, filter, .. } = self.preprocessing;
        let image = decode(bytes, &self.decode)?;
        let image = self.resizer.fit(&image, height, width, resize_mode, filter)?;
        let image_len = height as usize * width as usize * 3;
        self.writer.write(&image, &mut self.tensor[place * image_len..][..image_len])
    }

    /// Appends the embeddings of the first `n` images of the chunk.
    fn run(&mut self, n: usize, out: &mut Vec<f32>) -> Result<()> {
        let Preprocessing { height, width, .. } = self.preprocessing;
        let image_len = height as usize * width as usize * 3;
        match &mut self.network {
            None => out.extend_from_slice(&self.tensor[..n * image_len]),
            Some(network) => {
                // a graph with a fixed batch is always given a whole one; what is left in the rest is ignored
                let given = network.input().batch.map_or(n, |_| self.chunk);
                let start = out.len();
                network.embed(&self.tensor[..given * image_len], given, height, width, out)?;
                let dim = (out.len() - start) / given;
                out.truncate(start + n * dim);
            }
        }
        Ok(())
    }
}
