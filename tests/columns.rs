//! Arrow columns to slices: a slice of a column reads as a copy of the same rows.
#![allow(clippy::unwrap_used)] // tests: shared functions

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BinaryViewBuilder, FixedSizeListBuilder, Float32Builder, LargeBinaryBuilder,
};
use arrow_array::builder::{LargeListBuilder, ListBuilder};
use arrow_array::{Array, ArrayRef};
use proptest::prelude::*;
use sparkcider::columns::{FloatRows, binary_rows, float_rows, header_pixels};
use sparkcider::image::encode_jpeg;

/// Features per row.
const WIDTH: usize = 3;

type Floats = Vec<Option<[Option<f32>; WIDTH]>>;

/// The rows as lists of each kind; a null feature makes its row unusable.
fn lists(rows: &Floats) -> [ArrayRef; 3] {
    let mut list = ListBuilder::new(Float32Builder::new());
    let mut large = LargeListBuilder::new(Float32Builder::new());
    let mut fixed = FixedSizeListBuilder::new(Float32Builder::new(), WIDTH as i32);
    for row in rows {
        list.append_option(row.map(|row| row.to_vec()));
        large.append_option(row.map(|row| row.to_vec()));
        row.unwrap_or_default().into_iter().for_each(|value| fixed.values().append_option(value));
        fixed.append(row.is_some());
    }
    [Arc::new(list.finish()), Arc::new(large.finish()), Arc::new(fixed.finish())]
}

fn binaries(rows: &[Option<Vec<u8>>]) -> [ArrayRef; 3] {
    let (mut small, mut large, mut view) = (BinaryBuilder::new(), LargeBinaryBuilder::new(), BinaryViewBuilder::new());
    for row in rows {
        small.append_option(row.as_ref());
        large.append_option(row.as_ref());
        view.append_option(row.as_ref());
    }
    [Arc::new(small.finish()), Arc::new(large.finish()), Arc::new(view.finish())]
}

proptest! {
    #[test]
    fn a_slice_of_lists_reads_as_its_rows(
        rows in prop::collection::vec(any::<Option<[Option<i16>; WIDTH]>>(), 0..30),
        from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(),
    ) {
        let rows: Floats = rows.into_iter().map(|row| row.map(|row| row.map(|value| value.map(f32::from)))).collect();
        let (from, to) = (from.index(rows.len() + 1), to.index(rows.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        let expected: Vec<Option<Vec<f32>>> =
            rows[from..to].iter().map(|row| row.and_then(|row| row.into_iter().collect())).collect();
        for list in lists(&rows) {
            let slice = list.slice(from, to - from);
            let FloatRows::F32(found) = float_rows(&slice).unwrap() else { panic!("not float32") };
            let found: Vec<_> = found.into_iter().map(|row| row.map(<[f32]>::to_vec)).collect();
            prop_assert_eq!(&found, &expected, "{}", list.data_type());
        }
    }

    #[test]
    fn a_slice_of_binaries_reads_as_its_rows(
        rows in prop::collection::vec(any::<Option<Vec<u8>>>(), 0..20),
        from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(),
    ) {
        let (from, to) = (from.index(rows.len() + 1), to.index(rows.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        for column in binaries(&rows) {
            let slice = column.slice(from, to - from);
            let found: Vec<_> = binary_rows(&slice).unwrap().into_iter().map(|row| row.map(<[u8]>::to_vec)).collect();
            prop_assert_eq!(&found, &rows[from..to], "{}", column.data_type());
        }
    }
}

#[test]
fn the_pixels_of_headers_are_zero_where_there_is_none() {
    let rows =
        [Some(encode_jpeg(&[9; 4 * 6 * 3], 4, 6, 90).unwrap()), None, Some(b"no image".to_vec()), Some(Vec::new())];
    for column in binaries(&rows) {
        let pixels = header_pixels(&column).unwrap();
        assert_eq!(pixels.values(), &[24, 0, 0, 0]);
        assert_eq!(pixels.null_count(), 0);
        assert_eq!(header_pixels(&column.slice(1, 0)).unwrap().len(), 0);
    }
    let floats = arrow_array::Float32Array::from(vec![1.0]);
    let error = header_pixels(&floats).unwrap_err().to_string();
    assert_eq!(error, "expected a column of binary (encoded images), got Float32");
}
