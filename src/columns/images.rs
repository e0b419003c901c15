//! A column of encoded images to a column of features.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, FixedSizeListArray, Float32Array, LargeBinaryArray, StringArray,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Field};

use crate::extractor::{FeatureExtractor, Features};
use crate::{Error, Result};

/// Embeds a column of encoded images (`binary`, `large_binary` or `binary_view`, N rows).
///
/// Gives two columns of N rows: features (fixed-size list of D f32, null where there is a reason) and errors (utf8, null
/// where there are features).
///
/// # Errors
/// [`Error::Column`] for a column of another type; as [`FeatureExtractor::extract`].
///
/// ```
/// use sparkcider::{FeatureExtractor, Options, columns};
///
/// let images = arrow_array::BinaryArray::from(vec![b"no image".as_slice()]);
/// let mut extractor = FeatureExtractor::pixels(&Options::default())?;
/// let [features, errors] = columns::extract(&mut extractor, &images)?;
/// assert_eq!((features.null_count(), errors.null_count()), (1, 0));
/// # use arrow_array::Array;
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn extract(extractor: &mut FeatureExtractor, images: &dyn Array) -> Result<[ArrayRef; 2]> {
    let rows = binary_rows(images)?;
    let features = extractor.extract(rows.into_iter())?;
    features_columns(features, extractor.embedding_dim())
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
        Err(Error::Column { expected: "binary (encoded images)", found: array.data_type().to_string() })
    }
}

/// The type of an embeddings column: fixed-size list of `embedding_dim` non-null f32.
fn features_field(embedding_dim: usize) -> Result<(Arc<Field>, i32)> {
    let dim = i32::try_from(embedding_dim).map_err(|_| Error::Shape {
        expected: format!("at most {} features per row", i32::MAX),
        found: embedding_dim.to_string(),
    })?;
    Ok((Arc::new(Field::new("item", DataType::Float32, false)), dim))
}

/// The outcome of an extraction as its two columns.
fn features_columns(features: Features, embedding_dim: usize) -> Result<[ArrayRef; 2]> {
    let (field, dim) = features_field(embedding_dim)?;
    let valid: BooleanBuffer = features.errors.iter().map(Option::is_none).collect();
    let values = Arc::new(Float32Array::from(features.values));
    let lists = FixedSizeListArray::new(field, dim, values, Some(NullBuffer::new(valid)));
    Ok([Arc::new(lists), Arc::new(StringArray::from(features.errors))])
}
