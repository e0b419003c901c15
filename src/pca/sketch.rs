//! The scatter of very wide rows seen through a few directions: its products with a basis, summed in one pass.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::block::{Block, Real, Rows, Skip, divisor, join_counts, join_means, valid_rows};
use super::bytes::{Reader, header, put_counts, put_numbers};
use super::limits::{check_features, too_large};
use crate::{Error, Result};

/// "Sparkcider sketch" and "basis".
const MAGIC: [u8; 4] = *b"SCSK";
const BASIS_MAGIC: [u8; 4] = *b"SCBA";
const VERSION: u32 = 1;

/// Bytes per block of rows in f64.
const BLOCK_BYTES: usize = 64 << 20;

/// Rows per block at most.
const BLOCK_ROWS: usize = 512;

/// Directions (D, l) that one pass multiplies the scatter with.
#[derive(Clone, Debug)]
pub struct Basis {
    /// The pass that it belongs to.
    pub(crate) pass: u64,
    pub(crate) columns: Mat<f64>,
}

impl Basis {
    /// No directions: a sketch for it sums count, mean and variances only.
    ///
    /// # Errors
    /// [`Error::Option`] if D is 0 or over [`MAX_FEATURES`](super::MAX_FEATURES).
    pub fn empty(n_features: usize) -> Result<Self> {
        check_features(n_features)?;
        Ok(Self { pass: 0, columns: Mat::zeros(n_features, 0) })
    }

    /// D.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.columns.nrows()
    }

    /// The basis as bytes: 8 D l and a few.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = header(BASIS_MAGIC, VERSION);
        put_counts(&mut bytes, &[self.pass, self.columns.nrows() as u64, self.columns.ncols() as u64]);
        put_columns(&mut bytes, &self.columns);
        bytes
    }

    /// A basis from [`Basis::to_bytes`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are something else, cut off or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::open("basis", BASIS_MAGIC, VERSION, bytes)?;
        let (pass, n_features, width) = (reader.count()?, reader.n_features()?, reader.size()?);
        if !(1..=n_features).contains(&width) {
            return Err(reader.corrupt(format!("it cannot have {width} directions of {n_features} features")));
        }
        let columns = read_columns(&mut reader, n_features, width)?;
        reader.end()?;
        Ok(Self { pass, columns })
    }
}

/// Count, mean (D), diagonal of the scatter S (D) and S times a basis (D, l): O(D l) of memory, in one pass.
///
/// It is summed as [`super::moments::Moments`] sums S: blocks of rows about their own mean, joined by one more row.
#[derive(Clone, Debug)]
pub struct Sketch {
    pass: u64,
    n_invalid: u64,
    pub(crate) count: u64,
    pub(crate) mean: Vec<f64>,
    pub(crate) squares: Vec<f64>,
    pub(crate) products: Mat<f64>,
    /// The mean times the basis (l): so two sketches can be joined without the basis.
    projected_mean: Vec<f64>,
}

impl Sketch {
    /// A sketch of no rows.
    #[must_use]
    pub fn new(basis: &Basis) -> Self {
        let (n_features, width) = (basis.columns.nrows(), basis.columns.ncols());
        Self {
            pass: basis.pass,
            n_invalid: 0,
            count: 0,
            mean: vec![0.0; n_features],
            squares: vec![0.0; n_features],
            products: Mat::zeros(n_features, width),
            projected_mean: vec![0.0; width],
        }
    }

    /// Adds rows of D features each and returns how many were added; rows that cannot be used are as in
    /// [`super::moments::Moments::update`]. Batches of some hundred rows are fastest.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NonFinite`] for the first row that cannot be used; [`Error::Shape`] if `basis` is
    /// not the one that the sketch was made for.
    pub fn update<T: Real>(&mut self, basis: &Basis, rows: &[Option<&[T]>], skip_invalid: bool) -> Result<usize> {
        let n_features = self.mean.len();
        if (basis.pass, basis.columns.shape()) != (self.pass, self.products.shape()) {
            return Err(other_pass(self.pass, basis.pass));
        }
        let valid = valid_rows(rows, n_features, Skip::invalid(skip_invalid, Skip::Nothing))?;
        let valid: Vec<&[T]> = valid.into_iter().flatten().collect();
        self.n_invalid += (rows.len() - valid.len()) as u64;
        let block_rows = (BLOCK_BYTES / 8 / n_features.max(1)).clamp(1, BLOCK_ROWS);
        for rows in valid.chunks(block_rows) {
            let mut kept = Rows::default();
            for row in rows {
                T::store(row, &mut kept);
            }
            self.absorb(basis.columns.as_ref(), kept.centred(n_features, 0..rows.len(), 0..n_features));
        }
        Ok(valid.len())
    }

    fn absorb(&mut self, basis: MatRef<'_, f64>, mut block: Block) {
        let (n, width) = (block.n, basis.ncols());
        let mut projected = vec![0.0; (n + 1) * width];
        let row = join_means(self.count, &mut self.mean, n as u64, &block.mean);
        block.values.extend_from_slice(&row);
        let values = MatRef::from_row_major_slice(&block.values, n + 1, row.len());
        let to = MatMut::from_row_major_slice_mut(&mut projected, n + 1, width);
        matmul(to, Accum::Replace, values, basis, 1.0, Par::Seq);
        let projected = MatRef::from_row_major_slice(&projected, n + 1, width);
        matmul(&mut self.products, Accum::Add, values.transpose(), projected, 1.0, Par::Seq);
        for row in block.values.chunks_exact(row.len()) {
            add_squares(&mut self.squares, row);
        }
        let mean = MatRef::from_row_major_slice(&self.mean, 1, self.mean.len());
        let to = MatMut::from_row_major_slice_mut(&mut self.projected_mean, 1, width);
        matmul(to, Accum::Replace, mean, basis, 1.0, Par::Seq);
        self.count += n as u64;
    }

    /// Adds all rows that `other` has seen in the same pass.
    ///
    /// # Errors
    /// [`Error::Shape`] if `other` is of another pass; [`Error::Pca`] for over 2^53 rows.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if (self.pass, self.products.shape()) != (other.pass, other.products.shape()) {
            return Err(other_pass(self.pass, other.pass));
        }
        let count = join_counts(self.count, other.count)?;
        self.n_invalid = join_counts(self.n_invalid, other.n_invalid)?;
        if other.count == 0 {
            return Ok(());
        }
        let row = join_means(self.count, &mut self.mean, other.count, &other.mean);
        let projected = join_means(self.count, &mut self.projected_mean, other.count, &other.projected_mean);
        for (column, factor) in projected.iter().enumerate() {
            let ours = self.products.col_as_slice_mut(column);
            let theirs = other.products.col_as_slice(column);
            for ((ours, theirs), value) in ours.iter_mut().zip(theirs).zip(&row) {
                *ours += theirs + value * factor;
            }
        }
        add_squares(&mut self.squares, &row);
        self.squares.iter_mut().zip(&other.squares).for_each(|(ours, theirs)| *ours += theirs);
        self.count = count;
        Ok(())
    }

    /// N, the rows added.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.count
    }

    /// Rows left out by `skip_invalid`.
    #[must_use]
    pub fn n_invalid(&self) -> u64 {
        self.n_invalid
    }

    /// The mean of each feature (D).
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The sample variance of each feature (D): N - 1 in the denominator, 0 for one row.
    #[must_use]
    pub fn variance(&self) -> Vec<f64> {
        let degrees = divisor(self.count.max(2) - 1);
        self.squares.iter().map(|sum| sum / degrees).collect()
    }

    /// The pass that it belongs to.
    #[must_use]
    pub fn pass(&self) -> u64 {
        self.pass
    }

    /// The sketch as bytes: 8 D (l + 2) and a few.
    ///
    /// # Errors
    /// [`Error::Pca`] if products have overflowed f64: such a sketch is of no use.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let total: f64 = self.squares.iter().sum();
        if !total.is_finite() || !self.products.is_all_finite() {
            return Err(too_large());
        }
        let mut bytes = header(MAGIC, VERSION);
        let sizes = [self.mean.len() as u64, self.projected_mean.len() as u64];
        put_counts(&mut bytes, &[self.pass, self.count, self.n_invalid, sizes[0], sizes[1]]);
        for numbers in [&self.mean, &self.squares, &self.projected_mean] {
            put_numbers(&mut bytes, numbers);
        }
        put_columns(&mut bytes, &self.products);
        Ok(bytes)
    }

    /// A sketch from [`Sketch::to_bytes`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are something else, cut off or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::open("sketch", MAGIC, VERSION, bytes)?;
        let (pass, count, n_invalid) = (reader.count()?, reader.count()?, reader.count()?);
        let (n_features, width) = (reader.n_features()?, reader.size()?);
        if width > n_features {
            return Err(reader.corrupt(format!("it cannot have {width} directions of {n_features} features")));
        }
        let (mean, squares) = (reader.numbers(n_features)?, reader.positive_numbers(n_features)?);
        let projected_mean = reader.numbers(width)?;
        let products = read_columns(&mut reader, n_features, width)?;
        reader.end()?;
        Ok(Self { pass, n_invalid, count, mean, squares, products, projected_mean })
    }
}

fn add_squares(sums: &mut [f64], row: &[f64]) {
    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * value);
}

fn other_pass(expected: u64, found: u64) -> Error {
    Error::Shape { expected: format!("the basis of pass {expected}"), found: format!("one of pass {found}") }
}

fn put_columns(bytes: &mut Vec<u8>, columns: &Mat<f64>) {
    for column in 0..columns.ncols() {
        put_numbers(bytes, columns.col_as_slice(column));
    }
}

fn read_columns(reader: &mut Reader<'_>, n: usize, width: usize) -> Result<Mat<f64>> {
    let size = n.checked_mul(width).ok_or_else(|| reader.corrupt("its sizes overflow"))?;
    let values = reader.numbers(size)?;
    Ok(MatRef::from_column_major_slice(&values, n, width).to_owned())
}
