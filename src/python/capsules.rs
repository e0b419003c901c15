//! Arrow arrays and streams of any library, in and out, by the PyCapsule interface of Arrow's C data interface.
//!
//! The crate `pyo3-arrow` does this too. It brings arrow-cast, arrow-ord and arrow-select, which took 31 % of a build.
#![allow(unsafe_code)] // a capsule holds a pointer to a struct of C

use std::ffi::CStr;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, from_ffi_and_data_type};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, ArrayRef, make_array};
use arrow_schema::{ArrowError, DataType};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::python::error::SparkciderError;

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";
const STREAM: &CStr = c"arrow_array_stream";

/// What people hand over as a column.
pub(super) enum ArrowColumn {
    /// An array, or a batch as an array of structs.
    Array(ArrayRef),
    /// A chunked array, a table or a reader, which gives its batches one by one.
    Stream(ArrowStream),
}

impl<'py> FromPyObject<'_, 'py> for ArrowColumn {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = given.py();
        if let Some(export) = given.getattr_opt(intern!(py, "__arrow_c_array__"))? {
            let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) = export.call0()?.extract()?;
            return Ok(Self::Array(import_array(&schema, &array)?));
        }
        if let Some(export) = given.getattr_opt(intern!(py, "__arrow_c_stream__"))? {
            return Ok(Self::Stream(ArrowStream::import(&export.call0()?.extract()?)?));
        }
        let found = given.get_type().qualname()?;
        Err(PyTypeError::new_err(format!("expected an Arrow array, table or stream, got {found}")))
    }
}

fn import_array(schema: &Bound<'_, PyCapsule>, array: &Bound<'_, PyCapsule>) -> PyResult<ArrayRef> {
    let schema = schema.pointer_checked(Some(SCHEMA))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(ARRAY))?.cast::<FFI_ArrowArray>();
    // SAFETY: the names say what the capsules hold, and the producer promises that it is valid. The array is moved out
    // of its capsule, which is left released.
    let data = unsafe { from_ffi(FFI_ArrowArray::from_raw(array.as_ptr()), schema.as_ref()) };
    Ok(make_array(data.map_err(exception)?))
}

/// Arrays of one type, each made only when it is due.
pub(super) struct ArrowStream {
    stream: FFI_ArrowArrayStream,
    data_type: DataType,
}

impl ArrowStream {
    fn import(capsule: &Bound<'_, PyCapsule>) -> PyResult<Self> {
        let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
        // SAFETY: as in `import_array`.
        let mut stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr()) };
        let mut schema = FFI_ArrowSchema::empty();
        let Some(get_schema) = stream.get_schema else {
            return Err(PyTypeError::new_err("the Arrow stream has been read already"));
        };
        // SAFETY: a stream that is not released takes these calls, one at a time.
        if unsafe { get_schema(&raw mut stream, &raw mut schema) } != 0 {
            return Err(exception(last_error(&mut stream)));
        }
        let data_type = DataType::try_from(&schema).map_err(exception)?;
        Ok(Self { stream, data_type })
    }

    /// The type of every array.
    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The next array; None at the end.
    pub(super) fn next(&mut self) -> Result<Option<ArrayRef>, ArrowError> {
        let mut array = FFI_ArrowArray::empty();
        let Some(get_next) = self.stream.get_next else { return Ok(None) };
        // SAFETY: as in `import`; `&mut self` keeps the calls apart.
        if unsafe { get_next(&raw mut self.stream, &raw mut array) } != 0 {
            return Err(last_error(&mut self.stream));
        }
        if array.is_released() {
            return Ok(None);
        }
        // SAFETY: the producer promises that its arrays have the type of its schema.
        unsafe { from_ffi_and_data_type(array, self.data_type.clone()) }.map(|data| Some(make_array(data)))
    }
}

/// What the stream says of its last failure.
fn last_error(stream: &mut FFI_ArrowArrayStream) -> ArrowError {
    // SAFETY: the text is null or valid until the next call.
    let text = stream.get_last_error.map(|get| unsafe { get(stream) }).filter(|text| !text.is_null());
    let text = text.map(|text| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned());
    ArrowError::CDataInterface(text.unwrap_or_else(|| "the Arrow stream failed and does not say why".into()))
}

/// An error of Arrow as Python's; the class of what the producer raised does not cross the interface.
pub(super) fn exception(error: ArrowError) -> PyErr {
    SparkciderError::new_err(error.to_string())
}

/// An array on its way to pyarrow.
#[pyclass(frozen)]
struct Exported(ArrayRef);

#[pymethods]
impl Exported {
    /// The interface lets a producer ignore the requested schema; pyarrow requests none.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        let schema = FFI_ArrowSchema::try_from(self.0.data_type()).map_err(exception)?;
        let array = FFI_ArrowArray::new(&self.0.to_data());
        Ok((PyCapsule::new_with_value(py, schema, SCHEMA)?, PyCapsule::new_with_value(py, array, ARRAY)?))
    }
}

/// The array as `pyarrow.Array`, without a copy.
pub(super) fn to_pyarrow(py: Python<'_>, array: ArrayRef) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "pyarrow"))?.call_method1(intern!(py, "array"), (Exported(array),))
}

/// The arrays, at least one, as `pyarrow.ChunkedArray`, without a copy.
pub(super) fn to_pyarrow_chunks(py: Python<'_>, arrays: Vec<ArrayRef>) -> PyResult<Bound<'_, PyAny>> {
    let arrays = arrays.into_iter().map(|array| to_pyarrow(py, array)).collect::<PyResult<Vec<_>>>()?;
    py.import(intern!(py, "pyarrow"))?.call_method1(intern!(py, "chunked_array"), (arrays,))
}
