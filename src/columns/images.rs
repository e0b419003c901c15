//! A column of encoded images to a column of features, and to one of previews.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, FixedSizeListArray, Float32Array, LargeBinaryArray, StringArray,
    StructArray, UInt64Array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Field};

use sha2::{Digest, Sha256};

use super::table::describe;
use crate::extractor::{FeatureExtractor, Features};
use crate::image::decode::header_size;
use crate::image::{Previewer, RgbImage};
use crate::{Error, Result};

/// Embeds a column of encoded images (`binary`, `large_binary` or `binary_view`, N rows).
///
/// Gives three columns of N rows: features (fixed-size list of D f32, null where there is a reason; a struct of such lists, by
/// name, where several layers were requested), reasons (utf8, null where there are features) and their kinds (utf8, words of
/// [`ErrorKind`](crate::ErrorKind)).
///
/// # Errors
/// [`Error::Column`] for a column of another type; as [`FeatureExtractor::extract`].
///
/// ```
/// use sparkcider::{FeatureExtractor, Options, columns};
///
/// let images = arrow_array::BinaryArray::from(vec![b"no image".as_slice()]);
/// let mut extractor = FeatureExtractor::pixels(&Options::default())?;
/// let [features, errors, kinds] = columns::extract(&mut extractor, &images)?;
/// assert_eq!((features.null_count(), errors.null_count(), kinds.null_count()), (1, 0, 0));
/// # use arrow_array::Array;
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn extract(extractor: &mut FeatureExtractor, images: &dyn Array) -> Result<[ArrayRef; 3]> {
    let rows = binary_rows(images)?;
    let features = extractor.extract(rows.into_iter())?;
    features_columns(features, extractor)
}

/// The same, and a fourth column of what is seen on the way: a struct of `digest` (SHA-256 of the file's bytes, binary), `fingerprint`
/// (a [`Fingerprint`](crate::image::Fingerprint), binary) and `thumbnail` (JPEG, binary; null without `thumbnails`). It is null
/// where there is a reason.
///
/// # Errors
/// As [`extract`].
///
/// ```
/// use arrow_array::Array;
/// use sparkcider::{FeatureExtractor, Options, columns, image};
///
/// let file = image::encode_jpeg(&[128; 4 * 6 * 3], 4, 6, 90)?;
/// let images = arrow_array::BinaryArray::from(vec![file.as_slice(), b"no image"]);
/// let mut extractor = FeatureExtractor::pixels(&Options::default())?;
/// let [.., previews] = columns::extract_with_previews(&mut extractor, &images, true)?;
/// assert_eq!((previews.is_null(0), previews.is_null(1)), (false, true));
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn extract_with_previews(
    extractor: &mut FeatureExtractor,
    images: &dyn Array,
    thumbnails: bool,
) -> Result<[ArrayRef; 4]> {
    let rows = binary_rows(images)?;
    let mut previews = Previews::new(rows.len(), thumbnails);
    let features = extractor.extract_and(rows.into_iter(), |row, bytes, image| previews.set(row, bytes, image))?;
    let previews = previews.column(features.errors.iter().map(Option::is_none).collect());
    let [features, reasons, kinds] = features_columns(features, extractor)?;
    Ok([features, reasons, kinds, previews])
}

/// The three columns of a batch's previews, which rows fill in any order.
struct Previews {
    previewer: Previewer,
    thumbnails: bool,
    columns: [Vec<Option<Vec<u8>>>; 3],
}

impl Previews {
    fn new(n: usize, thumbnails: bool) -> Self {
        Self { previewer: Previewer::default(), thumbnails, columns: [vec![None; n], vec![None; n], vec![None; n]] }
    }

    fn set(&mut self, row: usize, bytes: &[u8], image: &RgbImage) {
        let [digest, fingerprint, thumbnail] = &mut self.columns;
        digest[row] = Some(Sha256::digest(bytes).to_vec());
        // an image that was resized for the network can be reduced: what could fail has failed there
        let Ok(reduced) = self.previewer.reduce(image) else { return };
        fingerprint[row] = self.previewer.fingerprint(&reduced).ok().map(Vec::from);
        if self.thumbnails {
            thumbnail[row] = self.previewer.thumbnail(&reduced).ok();
        }
    }

    fn column(self, valid: BooleanBuffer) -> ArrayRef {
        let names = ["digest", "fingerprint", "thumbnail"];
        let fields = names.map(|name| Field::new(name, DataType::Binary, true)).to_vec();
        let columns =
            self.columns.map(|column| Arc::new(column.iter().map(Option::as_deref).collect::<BinaryArray>()) as _);
        Arc::new(StructArray::new(fields.into(), columns.to_vec(), Some(NullBuffer::new(valid))))
    }
}

/// Width x height as the header of each encoded image states it (N rows): u64, 0 where the row is null or its header cannot be
/// read. Nothing is decoded; what an image will cost is known before it is.
///
/// # Errors
/// [`Error::Column`] for a column of another type.
///
/// ```
/// use sparkcider::{columns, image};
///
/// let file = image::encode_jpeg(&[128; 4 * 6 * 3], 4, 6, 90)?;
/// let images = arrow_array::BinaryArray::from(vec![Some(file.as_slice()), Some(b"no image"), None]);
/// assert_eq!(columns::header_pixels(&images)?, vec![24, 0, 0].into());
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn header_pixels(images: &dyn Array) -> Result<UInt64Array> {
    let pixels = |bytes: &[u8]| header_size(bytes).map_or(0, |(height, width)| height.saturating_mul(width));
    Ok(binary_rows(images)?.into_iter().map(|bytes| bytes.map_or(0, pixels)).collect())
}

/// The bytes of each row of a `binary`, `large_binary` or `binary_view` column; `None` for a null.
///
/// # Errors
/// [`Error::Column`] for a column of another type.
pub fn binary_rows(array: &dyn Array) -> Result<Vec<Option<&[u8]>>> {
    let any = array.as_any();
    if let Some(column) = any.downcast_ref::<BinaryArray>() {
        Ok(column.iter().collect())
    } else if let Some(column) = any.downcast_ref::<LargeBinaryArray>() {
        Ok(column.iter().collect())
    } else if let Some(column) = any.downcast_ref::<BinaryViewArray>() {
        Ok(column.iter().collect())
    } else {
        let found = describe(array.data_type(), is_binary);
        let hint = if is_text(array.data_type()) { ", text: read the files first, Path(...).read_bytes()" } else { "" };
        Err(Error::Column { expected: "binary (encoded images)", found: format!("{found}{hint}") })
    }
}

fn is_binary(found: &DataType) -> bool {
    matches!(found, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn is_text(found: &DataType) -> bool {
    matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The type of an embeddings column: fixed-size list of `embedding_dim` non-null f32.
fn features_field(embedding_dim: usize) -> Result<(Arc<Field>, i32)> {
    let dim = i32::try_from(embedding_dim).map_err(|_| Error::Shape {
        expected: format!("at most {} features per row", i32::MAX),
        found: embedding_dim.to_string(),
    })?;
    Ok((Arc::new(Field::new("item", DataType::Float32, false)), dim))
}

/// The outcome of an extraction as its three columns.
fn features_columns(features: Features, extractor: &FeatureExtractor) -> Result<[ArrayRef; 3]> {
    let valid: BooleanBuffer = features.errors.iter().map(Option::is_none).collect();
    let nulls = NullBuffer::new(valid);
    let column: ArrayRef = match extractor.layers() {
        None => vectors(features.values, extractor.embedding_dim(), &nulls)?,
        Some(layers) => Arc::new(layer_columns(&features.values, &layers, &nulls)?),
    };
    let faults = || features.errors.iter().map(Option::as_ref);
    let reasons: StringArray = faults().map(|fault| fault.map(|fault| fault.reason.as_str())).collect();
    let kinds: StringArray = faults().map(|fault| fault.map(|fault| fault.kind.word())).collect();
    Ok([column, Arc::new(reasons), Arc::new(kinds)])
}

/// (N, D) as a column of lists.
fn vectors(values: Vec<f32>, dim: usize, nulls: &NullBuffer) -> Result<ArrayRef> {
    let (field, dim) = features_field(dim)?;
    Ok(Arc::new(FixedSizeListArray::new(field, dim, Arc::new(Float32Array::from(values)), Some(nulls.clone()))))
}

/// Rows of the layers' vectors, one after the other, as a struct with a column for each layer.
fn layer_columns(values: &[f32], layers: &[(&str, usize)], nulls: &NullBuffer) -> Result<StructArray> {
    let width: usize = layers.iter().map(|(_, dim)| dim).sum();
    let mut start = 0;
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for &(name, dim) in layers {
        let own = values.chunks_exact(width).flat_map(|row| &row[start..start + dim]).copied().collect();
        let column = vectors(own, dim, nulls)?;
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
        start += dim;
    }
    Ok(StructArray::new(fields.into(), columns, Some(nulls.clone())))
}
