//! State behind a lock, and the Arrow columns that change it.

use std::sync::{Mutex, PoisonError};

use arrow_array::{ArrayRef, new_empty_array};
use pyo3::prelude::*;

use crate::Result;
use crate::columns::only_column;
use crate::python::capsules::{ArrowColumn, exception, to_pyarrow, to_pyarrow_chunks};
use crate::python::error::detach;

/// State that one thread at a time uses. The lock is only ever taken with the GIL released, so a thread that waits for it
/// stops no other.
pub(super) struct Locked<T>(Mutex<T>);

impl<T: Send> Locked<T> {
    /// Puts `state` behind a lock.
    pub(super) fn new(state: T) -> Self {
        Self(Mutex::new(state))
    }

    /// Releases the GIL, takes the lock and runs `work`.
    pub(super) fn with<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut T) -> Result<R> + Send) -> PyResult<R> {
        // A panic in `work` is raised in Python; the state behind it is only read and replaced whole.
        detach(py, || work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Calls `work` with an array, or with each batch of a stream as it arrives; with the column of a table of one.
///
/// For a stream it first gets an array of no rows: a wrong type fails before anything is pulled.
pub(super) fn for_each(
    py: Python<'_>,
    column: ArrowColumn,
    mut work: impl FnMut(&ArrayRef) -> PyResult<()>,
) -> PyResult<()> {
    let mut stream = match column {
        ArrowColumn::Array(array) => return work(&only_column(&array)),
        ArrowColumn::Stream(stream) => stream,
    };
    work(&only_column(&new_empty_array(stream.data_type())))?;
    // the GIL is free while the next batch is made, perhaps by Python
    while let Some(batch) = py.detach(|| stream.next()).map_err(exception)? {
        work(&only_column(&batch))?;
    }
    Ok(())
}

/// Applies `work` to an array, or to each batch of a stream, and gives its `N` columns as pyarrow's kind of the same.
pub(super) fn map<const N: usize>(
    py: Python<'_>,
    column: ArrowColumn,
    mut work: impl FnMut(&ArrayRef) -> PyResult<[ArrayRef; N]>,
) -> PyResult<[Py<PyAny>; N]> {
    let is_stream = matches!(column, ArrowColumn::Stream(_));
    let mut columns = [(); N].map(|()| Vec::new());
    for_each(py, column, |batch| {
        for (column, array) in columns.iter_mut().zip(work(batch)?) {
            column.push(array);
        }
        Ok(())
    })?;
    let pyarrow = |mut arrays: Vec<ArrayRef>| -> PyResult<Py<PyAny>> {
        if !is_stream {
            return Ok(to_pyarrow(py, arrays.swap_remove(0))?.unbind());
        }
        if arrays.len() > 1 {
            arrays.remove(0); // the array of no rows, which is the result only of a stream without batches
        }
        Ok(to_pyarrow_chunks(py, arrays)?.unbind())
    };
    let mut made = Vec::with_capacity(N);
    for arrays in columns {
        made.push(pyarrow(arrays)?);
    }
    made.try_into().map_err(|_| pyo3::exceptions::PyRuntimeError::new_err("a column was lost"))
}
