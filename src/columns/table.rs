//! Tables where one column is wanted: Arrow hands a record batch over as a struct of its columns.

use arrow_array::{Array, ArrayRef, StructArray};
use arrow_schema::{DataType, Fields};

/// The only column of a table; any other array, a table of several columns too, as it is.
///
/// ```
/// use std::sync::Arc;
/// use arrow_array::{ArrayRef, Int32Array, StructArray};
/// use sparkcider::columns::only_column;
///
/// let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
/// let table: ArrayRef = Arc::new(StructArray::try_from(vec![("n", column.clone())])?);
/// assert_eq!(&only_column(&table), &column);
/// assert_eq!(&only_column(&column), &column);
/// # Ok::<(), arrow_schema::ArrowError>(())
/// ```
#[must_use]
pub fn only_column(array: &ArrayRef) -> ArrayRef {
    // A struct with nulls is not a table, and its only field says nothing of those rows.
    let table = array.as_any().downcast_ref::<StructArray>().filter(|table| table.null_count() == 0);
    match table.map(StructArray::columns) {
        Some([column]) => column.clone(),
        _ => array.clone(),
    }
}

/// Columns of a table that a message lists: a table of features may have thousands.
const LISTED: usize = 8;

/// What a column of a wrong type is, for a message: its type; of a table, its columns and which of them `fit`.
pub(super) fn describe(found: &DataType, fits: impl Fn(&DataType) -> bool) -> String {
    let DataType::Struct(fields) = found else { return found.to_string() };
    let mut listed: Vec<String> =
        fields.iter().take(LISTED).map(|field| format!("{}: {}", field.name(), field.data_type())).collect();
    if fields.len() > LISTED {
        listed.push("...".to_owned());
    }
    format!("a table of {} columns ({}): {}", fields.len(), listed.join(", "), advice(fields, fits))
}

fn advice(fields: &Fields, fits: impl Fn(&DataType) -> bool) -> String {
    let fitting: Vec<String> =
        fields.iter().filter(|field| fits(field.data_type())).map(|field| format!("'{}'", field.name())).collect();
    match fitting.as_slice() {
        [] => "none of them fits".to_owned(),
        [one] => format!("pass its column {one}"),
        [first, second, ..] => format!("pass one of its columns, such as {first} or {second}"),
    }
}
