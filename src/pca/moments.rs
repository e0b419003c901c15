//! Count, mean and scatter of feature rows: everything that an exact PCA needs of the data, in one pass, in any order.

use std::mem::take;
use std::ops::Range;

use ndarray::Array2;

use super::block::{Real, Rows, Skip, join_counts, join_means, valid_rows};
use super::bytes::{Reader, header, put_counts, put_numbers};
use super::limits::{MAX_FEATURES, too_large};
use super::scatter::Scatter;
use crate::{Error, Result};

/// Up to so many rows are kept as they are, and solved by their N x N products (16 million products, 0.1 GB in f64).
pub const MAX_ROWS_KEPT: usize = 4_096;

/// Up to so many features a D x D scatter is summed: 2 GiB in f64.
pub const MAX_SCATTER_FEATURES: usize = 16_384;

/// Rows per product: enough to keep the product bound by arithmetic, not by memory.
const BLOCK_ROWS: usize = 512;

/// Bytes per block of rows in f64, where the rows are so wide that `BLOCK_ROWS` of them would be more.
const BLOCK_BYTES: usize = 32 << 20;

/// "Sparkcider moments": the start of saved moments.
const MAGIC: [u8; 4] = *b"SCMO";
const VERSION: u32 = 1;

/// What follows the header of saved moments.
const KIND_ROWS_F32: u64 = 0;
const KIND_ROWS_F64: u64 = 1;
const KIND_SCATTER: u64 = 2;

/// Count, mean (D) and scatter (D, D) of all rows seen; products, means and sums in f64, stable for any offset.
///
/// While the rows are fewer than half of D (and at most 4,096) the rows themselves are kept: they are smaller than
/// their scatter and as good. After that, blocks of 512 rows, each taken about its own mean, are summed (Chan, Golub,
/// LeVeque 1979), whatever the batches are: the size of the batches changes no bit.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    n_features: usize,
    n_invalid: u64,
    /// Rows that are not in `scatter` yet; all rows while there is no scatter.
    pending: Rows,
    scatter: Option<Scatter>,
}

impl Moments {
    /// Moments of no rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds rows of D features each and returns how many were added. `None` is a null row. D is the length of the
    /// first row ever added. A row that cannot be used (null, of another length, with a NaN or an infinity) is an
    /// error, before any row is added; with `skip_invalid` it is left out and counted.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NonFinite`] for the first row that cannot be used, with its index in `rows`;
    /// [`Error::Pca`] if D is over [`MAX_SCATTER_FEATURES`] and the rows are more than [`MAX_ROWS_KEPT`].
    ///
    /// ```
    /// use sparkcider::pca::Moments;
    ///
    /// let mut moments = Moments::new();
    /// moments.update(&[Some([0.0, 1.0].as_slice()), Some(&[2.0, 3.0])], false)?;
    /// assert_eq!(moments.mean(), [1.0, 2.0]);
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn update<T: Real>(&mut self, rows: &[Option<&[T]>], skip_invalid: bool) -> Result<usize> {
        let valid = valid_rows(rows, self.n_features, Skip::invalid(skip_invalid, Skip::Nothing))?;
        let added = valid.iter().flatten().count();
        let n_features = valid.iter().flatten().next().map_or(self.n_features, |row| row.len());
        check_size(self.n_samples() + added as u64, n_features)?;
        self.n_features = n_features;
        self.n_invalid += (rows.len() - added) as u64;
        for row in valid.into_iter().flatten() {
            T::store(row, &mut self.pending);
            self.flush();
        }
        Ok(added)
    }

    /// Adds all rows that `other` has seen. The result depends on the order of merges only by rounding.
    ///
    /// # Errors
    /// [`Error::Shape`] if the two have rows of different lengths; [`Error::Pca`] as in [`Moments::update`], or
    /// for over 2^53 rows.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.n_features != 0 && self.n_features != 0 && other.n_features != self.n_features {
            return Err(Error::Shape {
                expected: format!("moments of {} features", self.n_features),
                found: format!("moments of {}", other.n_features),
            });
        }
        let n_features = self.n_features.max(other.n_features);
        check_size(join_counts(self.n_samples(), other.n_samples())?, n_features)?;
        self.n_invalid = join_counts(self.n_invalid, other.n_invalid)?;
        self.n_features = n_features;
        self.pending.append(&other.pending);
        if let Some(theirs) = &other.scatter {
            match &mut self.scatter {
                Some(ours) => ours.merge(theirs),
                None => self.scatter = Some(theirs.clone()),
            }
        }
        self.flush();
        Ok(())
    }

    /// N, the rows added.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.scatter.as_ref().map_or(0, |scatter| scatter.count) + self.n_pending() as u64
    }

    /// D, or 0 before the first row.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Rows left out by `skip_invalid`.
    #[must_use]
    pub fn n_invalid(&self) -> u64 {
        self.n_invalid
    }

    /// The mean of each feature (D); empty before the first row.
    #[must_use]
    pub fn mean(&self) -> Vec<f64> {
        let (mut n, mut mean) = match &self.scatter {
            Some(scatter) => (scatter.count, scatter.mean.clone()),
            None => (0, vec![0.0; self.n_features]),
        };
        for rows in self.blocks() {
            let block = self.pending.centred(self.n_features, rows, 0..self.n_features);
            join_means(n, &mut mean, block.n as u64, &block.mean);
            n += block.n as u64;
        }
        mean
    }

    /// The scatter (D, D): the sum of (x - mean)(x - mean)^T. Divided by N - 1 it is the covariance.
    ///
    /// # Errors
    /// [`Error::Pca`] if D is over [`MAX_SCATTER_FEATURES`].
    pub fn scatter(&self) -> Result<Array2<f64>> {
        check_width(self.n_features)?;
        let products = self.to_scatter().products;
        let entry = |(i, j)| if i >= j { products[(i, j)] } else { products[(j, i)] };
        Ok(Array2::from_shape_fn((self.n_features, self.n_features), entry))
    }

    /// All rows, where they are kept: (N, D) row by row.
    pub(crate) fn rows(&self) -> Option<&Rows> {
        (self.scatter.is_none() && self.keeps_rows()).then_some(&self.pending)
    }

    /// A copy of the scatter with the pending rows in it.
    pub(crate) fn to_scatter(&self) -> Scatter {
        let mut scatter = self.scatter.clone().unwrap_or_else(|| Scatter::new(self.n_features));
        for rows in self.blocks() {
            scatter.absorb(self.pending.centred(self.n_features, rows, 0..self.n_features));
        }
        scatter
    }

    fn n_pending(&self) -> usize {
        self.pending.n_values() / self.n_features.max(1)
    }

    fn keeps_rows(&self) -> bool {
        keeps_rows(self.n_pending(), self.n_features)
    }

    fn block_rows(&self) -> usize {
        (BLOCK_BYTES / 8 / self.n_features.max(1)).clamp(1, BLOCK_ROWS)
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n, step) = (self.n_pending(), self.block_rows());
        (0..n).step_by(step).map(move |start| start..n.min(start + step))
    }

    /// Moves pending rows into the scatter once they are a block and not better kept.
    fn flush(&mut self) {
        let full = self.n_pending() >= self.block_rows();
        if !full || (self.scatter.is_none() && self.keeps_rows()) {
            return;
        }
        let blocks = self.blocks();
        let pending = take(&mut self.pending);
        let scatter = self.scatter.get_or_insert_with(|| Scatter::new(self.n_features));
        for rows in blocks {
            scatter.absorb(pending.centred(self.n_features, rows, 0..self.n_features));
        }
    }

    /// The moments as bytes: rows where they are kept, else mean and lower triangle of the scatter, column by column.
    ///
    /// # Errors
    /// [`Error::Pca`] if products have overflowed f64: such moments are of no use.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = header(MAGIC, VERSION);
        let counts = [self.n_features as u64, self.n_samples(), self.n_invalid];
        if let Some(rows) = self.rows() {
            put_rows(&mut bytes, counts, rows);
            return Ok(bytes);
        }
        let scatter = self.to_scatter();
        if !scatter.total().is_finite() {
            return Err(too_large());
        }
        put_counts(&mut bytes, &[KIND_SCATTER]);
        put_counts(&mut bytes, &counts);
        put_numbers(&mut bytes, &scatter.mean);
        for column in 0..self.n_features {
            put_numbers(&mut bytes, &scatter.products.col_as_slice(column)[column..]);
        }
        Ok(bytes)
    }

    /// Moments from [`Moments::to_bytes`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are something else, cut off or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::open("moments", MAGIC, VERSION, bytes)?;
        let kind = reader.count()?;
        let n_features = reader.size()?;
        let count = reader.count()?;
        let n_invalid = reader.count()?;
        let mut moments = Self { n_features, n_invalid, ..Self::default() };
        if n_features > MAX_FEATURES || (n_features == 0) != (count == 0) {
            return Err(reader.corrupt(format!("it cannot have {count} rows of {n_features} features")));
        }
        check_size(count, n_features).map_err(|error| reader.corrupt(error.to_string()))?;
        // Rows are saved as rows only while they are kept as rows.
        let n_kept = usize::try_from(count).ok().filter(|&n| keeps_rows(n, n_features));
        let n_values = n_kept.and_then(|n| n.checked_mul(n_features));
        match (kind, n_values) {
            (KIND_ROWS_F32, Some(n)) => moments.pending = Rows::F32(reader.short_numbers(n)?),
            (KIND_ROWS_F64, Some(n)) => moments.pending = Rows::F64(reader.numbers(n)?),
            (KIND_SCATTER, _) if count > 0 => moments.scatter = Some(read_scatter(&mut reader, n_features, count)?),
            _ => {
                return Err(
                    reader.corrupt(format!("{count} rows of {n_features} features are not known as kind {kind}"))
                );
            }
        }
        reader.end()?;
        Ok(moments)
    }
}

/// Whether n rows are smaller than the triangle of their scatter.
fn keeps_rows(n: usize, n_features: usize) -> bool {
    n <= MAX_ROWS_KEPT && 2 * n <= n_features
}

fn put_rows(bytes: &mut Vec<u8>, counts: [u64; 3], rows: &Rows) {
    let kind = if matches!(rows, Rows::F32(_)) { KIND_ROWS_F32 } else { KIND_ROWS_F64 };
    put_counts(bytes, &[kind]);
    put_counts(bytes, &counts);
    match rows {
        Rows::F32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Rows::F64(values) => put_numbers(bytes, values),
    }
}

fn read_scatter(reader: &mut Reader<'_>, n_features: usize, count: u64) -> Result<Scatter> {
    if n_features > MAX_SCATTER_FEATURES {
        return Err(reader.corrupt(format!("it has a scatter of {n_features} features")));
    }
    let mean = reader.numbers(n_features)?;
    let triangle = reader.numbers(n_features * (n_features + 1) / 2)?;
    let mut scatter = Scatter::new(n_features);
    let mut rest = triangle.as_slice();
    for column in 0..n_features {
        let (values, below) = rest.split_at(n_features - column);
        if values[0] < 0.0 {
            return Err(reader.corrupt(format!("the variance of feature {column} is negative")));
        }
        scatter.products.col_as_slice_mut(column)[column..].copy_from_slice(values);
        rest = below;
    }
    Ok(Scatter { count, mean, ..scatter })
}

/// Whether so many rows can be kept or summed.
fn check_size(n_samples: u64, n_features: usize) -> Result<()> {
    if n_samples <= MAX_ROWS_KEPT as u64 { Ok(()) } else { check_width(n_features) }
}

/// Whether a scatter can be so wide.
///
/// # Errors
/// [`Error::Pca`] naming the limit and what to do.
pub(crate) fn check_width(n_features: usize) -> Result<()> {
    if n_features <= MAX_SCATTER_FEATURES {
        return Ok(());
    }
    Err(Error::Pca {
        reason: format!(
            "the scatter of {n_features} features is over the limit of {MAX_SCATTER_FEATURES}: keep to \
             {MAX_ROWS_KEPT} rows, or take the randomized solver"
        ),
    })
}
