//! Any slice of a column of lists or of bytes.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use arrow_array::types::Float32Type;
use arrow_array::{Array, ArrayRef, BinaryArray, LargeListArray, ListArray};
use libfuzzer_sys::fuzz_target;
use sparkcider::columns::{FloatRows, binary_rows, float_rows};
use sparkcider::pca::Moments;

#[derive(Arbitrary, Debug)]
struct Input {
    lists: Vec<Option<Vec<Option<f32>>>>,
    files: Vec<Option<Vec<u8>>>,
    from: usize,
    length: usize,
    skip_invalid: bool,
}

fuzz_target!(|input: Input| {
    let slice = |column: ArrayRef| {
        let from = input.from % (column.len() + 1);
        column.slice(from, input.length % (column.len() - from + 1))
    };
    let lists: [ArrayRef; 2] = [
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(input.lists.clone())),
        Arc::new(LargeListArray::from_iter_primitive::<Float32Type, _, _>(input.lists.clone())),
    ];
    for column in lists {
        let column = slice(column);
        let FloatRows::F32(rows) = float_rows(&column).expect("lists of float32") else { panic!("not float32") };
        assert_eq!(rows.len(), column.len());
        let _ = Moments::new().update(&rows, input.skip_invalid);
    }
    let files = slice(Arc::new(BinaryArray::from_iter(input.files.iter())));
    assert_eq!(binary_rows(&files).expect("binary").len(), files.len());
});
