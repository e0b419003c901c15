//! Columns of features (lists of float32 or float64) to moments, and to and from the components of a PCA.
//!
//! A row that is null, of another length, or holds a null, a NaN or an infinity cannot be used. With `skip_invalid` it is
//! left out or null, otherwise it is an error.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray};

use super::lists::{FloatRows, float_lists, float_rows};
use crate::Result;
use crate::pca::{Basis, Moments, Projection, Real, Sketch};

/// Adds a column of features (D per row) to moments; returns the number of rows added.
///
/// # Errors
/// [`crate::Error::Column`] for a column of another type; as [`Moments::update`].
pub fn update_moments(moments: &mut Moments, features: &dyn Array, skip_invalid: bool) -> Result<usize> {
    match float_rows(features)? {
        FloatRows::F32(rows) => moments.update(&rows, skip_invalid),
        FloatRows::F64(rows) => moments.update(&rows, skip_invalid),
    }
}

/// Adds a column of features (D per row) to a sketch; returns the number of rows added.
///
/// # Errors
/// [`crate::Error::Column`] for a column of another type; as [`Sketch::update`].
pub fn update_sketch(sketch: &mut Sketch, basis: &Basis, features: &dyn Array, skip_invalid: bool) -> Result<usize> {
    match float_rows(features)? {
        FloatRows::F32(rows) => sketch.update(basis, &rows, skip_invalid),
        FloatRows::F64(rows) => sketch.update(basis, &rows, skip_invalid),
    }
}

/// Projects a column of features (D per row) onto components: k coordinates per row, as the same kind of list of the
/// same float.
///
/// # Errors
/// [`crate::Error::Column`] for a column of another type; as [`Projection::project`].
pub fn transform(projection: &Projection, features: &dyn Array, skip_invalid: bool) -> Result<ArrayRef> {
    match float_rows(features)? {
        FloatRows::F32(rows) => project::<Float32Type>(projection, features, &rows, skip_invalid),
        FloatRows::F64(rows) => project::<Float64Type>(projection, features, &rows, skip_invalid),
    }
}

/// Takes a column of coordinates (k per row) back to features: D per row, as the same kind of list of the same float.
///
/// # Errors
/// [`crate::Error::Column`] for a column of another type; as [`Projection::invert`].
pub fn inverse_transform(projection: &Projection, coordinates: &dyn Array, skip_invalid: bool) -> Result<ArrayRef> {
    match float_rows(coordinates)? {
        FloatRows::F32(rows) => invert::<Float32Type>(projection, coordinates, &rows, skip_invalid),
        FloatRows::F64(rows) => invert::<Float64Type>(projection, coordinates, &rows, skip_invalid),
    }
}

/// The distance between each row of features and its part in the components: one float per row, of the rows' type.
///
/// # Errors
/// [`crate::Error::Column`] for a column of another type; as [`Projection::reconstruction_error`].
pub fn reconstruction_error(projection: &Projection, features: &dyn Array, skip_invalid: bool) -> Result<ArrayRef> {
    match float_rows(features)? {
        FloatRows::F32(rows) => errors::<Float32Type>(projection, &rows, skip_invalid),
        FloatRows::F64(rows) => errors::<Float64Type>(projection, &rows, skip_invalid),
    }
}

fn project<T>(
    projection: &Projection,
    batch: &dyn Array,
    rows: &[Option<&[T::Native]>],
    skip_invalid: bool,
) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType<Native: Real>,
    PrimitiveArray<T>: From<Vec<T::Native>>,
{
    let projected = projection.project(rows, skip_invalid)?;
    float_lists::<T>(batch.data_type(), projected.values, &projected.valid, projection.n_components())
}

fn invert<T>(
    projection: &Projection,
    batch: &dyn Array,
    rows: &[Option<&[T::Native]>],
    skip_invalid: bool,
) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType<Native: Real>,
    PrimitiveArray<T>: From<Vec<T::Native>>,
{
    let (values, valid) = projection.invert(rows, skip_invalid)?;
    float_lists::<T>(batch.data_type(), values, &valid, projection.n_features())
}

fn errors<T>(projection: &Projection, rows: &[Option<&[T::Native]>], skip_invalid: bool) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType<Native: Real>,
    PrimitiveArray<T>: From<Vec<Option<T::Native>>>,
{
    let errors = projection.reconstruction_error(rows, skip_invalid)?;
    Ok(Arc::new(PrimitiveArray::<T>::from(errors)))
}
