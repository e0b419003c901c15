//! Lists of floats as slices, and back.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, GenericListArray, LargeListArray, ListArray, OffsetSizeTrait, PrimitiveArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::table::describe;
use crate::{Error, Result};

/// The rows of a features column as they are in the column; `None` for a null row or one with a null feature.
#[derive(Debug)]
pub enum FloatRows<'a> {
    /// Lists of float32.
    F32(Vec<Option<&'a [f32]>>),
    /// Lists of float64.
    F64(Vec<Option<&'a [f64]>>),
}

/// The rows of a `list`, `large_list` or `fixed_size_list` column of float32 or float64, without a copy.
///
/// # Errors
/// [`Error::Column`] for a column of another type.
pub fn float_rows(array: &dyn Array) -> Result<FloatRows<'_>> {
    let any = array.as_any();
    if let Some(lists) = any.downcast_ref::<ListArray>() {
        rows_of(array, lists.values(), offset_ranges(lists))
    } else if let Some(lists) = any.downcast_ref::<LargeListArray>() {
        rows_of(array, lists.values(), offset_ranges(lists))
    } else if let Some(lists) = any.downcast_ref::<FixedSizeListArray>() {
        let width = lists.value_length().unsigned_abs() as usize;
        rows_of(array, lists.values(), |row| row * width..(row + 1) * width)
    } else {
        Err(not_features(array))
    }
}

fn not_features(array: &dyn Array) -> Error {
    Error::Column {
        expected: "lists of float32 or float64 (features)",
        found: describe(array.data_type(), is_features),
    }
}

fn is_features(found: &DataType) -> bool {
    match found {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            matches!(field.data_type(), DataType::Float32 | DataType::Float64)
        }
        _ => false,
    }
}

fn offset_ranges<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> impl Fn(usize) -> Range<usize> {
    let offsets = lists.value_offsets();
    |row| offsets[row].as_usize()..offsets[row + 1].as_usize()
}

fn rows_of<'a>(
    lists: &dyn Array,
    values: &'a ArrayRef,
    range: impl Fn(usize) -> Range<usize>,
) -> Result<FloatRows<'a>> {
    let any = values.as_any();
    if let Some(values) = any.downcast_ref::<PrimitiveArray<Float32Type>>() {
        Ok(FloatRows::F32(slices(lists, values, range)))
    } else if let Some(values) = any.downcast_ref::<PrimitiveArray<Float64Type>>() {
        Ok(FloatRows::F64(slices(lists, values, range)))
    } else {
        Err(not_features(lists))
    }
}

fn slices<'a, T: ArrowPrimitiveType>(
    lists: &dyn Array,
    values: &'a PrimitiveArray<T>,
    range: impl Fn(usize) -> Range<usize>,
) -> Vec<Option<&'a [T::Native]>> {
    let no_nulls = values.null_count() == 0;
    let whole = |range: &Range<usize>| no_nulls || range.clone().all(|index| values.is_valid(index));
    (0..lists.len())
        .map(|row| lists.is_valid(row).then(|| range(row)).filter(whole).map(|range| &values.values()[range]))
        .collect()
}

/// N rows of `width` floats as a column of the same kind of list as `like`; null where not `valid`. `values` is
/// (N, width) row by row.
///
/// # Errors
/// [`Error::Column`] if `like` is not a list; [`Error::Shape`] if the rows do not fit its offsets.
pub(super) fn float_lists<T>(like: &DataType, values: Vec<T::Native>, valid: &[bool], width: usize) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    PrimitiveArray<T>: From<Vec<T::Native>>,
{
    let values: ArrayRef = Arc::new(PrimitiveArray::<T>::from(values));
    let nulls = NullBuffer::from(valid);
    let too_many = || Error::Shape {
        expected: "rows that fit one Arrow list array".to_owned(),
        found: format!("{} rows of {width}", valid.len()),
    };
    Ok(match like {
        DataType::List(field) => {
            let offsets = offsets::<i32>(valid.len(), width).ok_or_else(too_many)?;
            Arc::new(ListArray::new(field.clone(), offsets, values, Some(nulls)))
        }
        DataType::LargeList(field) => {
            let offsets = offsets::<i64>(valid.len(), width).ok_or_else(too_many)?;
            Arc::new(LargeListArray::new(field.clone(), offsets, values, Some(nulls)))
        }
        DataType::FixedSizeList(field, _) => {
            let width = i32::try_from(width).map_err(|_| too_many())?;
            Arc::new(FixedSizeListArray::new(field.clone(), width, values, Some(nulls)))
        }
        other => {
            return Err(Error::Column { expected: "lists of float32 or float64 (features)", found: other.to_string() });
        }
    })
}

/// 0, width, 2 width, ..., n width; `None` if they do not fit.
fn offsets<O: OffsetSizeTrait>(n: usize, width: usize) -> Option<OffsetBuffer<O>> {
    O::from_usize(n.checked_mul(width)?)?;
    let offsets: Vec<O> = (0..=n).map(|row| O::usize_as(row * width)).collect();
    Some(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}
