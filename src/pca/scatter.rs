//! Count, mean and scatter matrix of many rows.

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, MatRef, Par};

use super::block::{Block, divisor, join_means, reciprocal};

/// Count n, mean (D) and scatter (D, D): the sum of (x - mean)(x - mean)^T, of which the lower triangle is kept.
#[derive(Clone, Debug)]
pub(crate) struct Scatter {
    pub count: u64,
    pub mean: Vec<f64>,
    pub products: Mat<f64>,
}

impl Scatter {
    pub(crate) fn new(n_features: usize) -> Self {
        Self { count: 0, mean: vec![0.0; n_features], products: Mat::zeros(n_features, n_features) }
    }

    /// Adds a block of centred rows in one triangular product: the distance of the means goes along as one more row.
    pub(crate) fn absorb(&mut self, mut block: Block) {
        let row = join_means(self.count, &mut self.mean, block.n as u64, &block.mean);
        self.count += block.n as u64;
        block.values.extend_from_slice(&row);
        add_products(&mut self.products, MatRef::from_row_major_slice(&block.values, block.n + 1, row.len()), Par::Seq);
    }

    /// Adds the rows that `other` has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        let row = join_means(self.count, &mut self.mean, other.count, &other.mean);
        self.count += other.count;
        for column in 0..row.len() {
            let ours = self.products.col_as_slice_mut(column);
            let theirs = other.products.col_as_slice(column);
            for index in column..row.len() {
                ours[index] += theirs[index] + row[index] * row[column];
            }
        }
    }

    /// The sum of all squares.
    pub(crate) fn total(&self) -> f64 {
        self.products.diagonal().column_vector().sum()
    }

    /// Turns the scatter into that of the standardised columns and returns their sample standard deviations (n - 1). A
    /// column of no variance becomes 0, as in Spark's `StandardScaler`.
    pub(crate) fn standardize(&mut self) -> Vec<f64> {
        let degrees = divisor(self.count.max(2) - 1);
        let scale: Vec<f64> = (0..self.mean.len()).map(|i| (self.products[(i, i)] / degrees).sqrt()).collect();
        let factors: Vec<f64> = scale.iter().map(|&scale| reciprocal(scale)).collect();
        for column in 0..scale.len() {
            let products = &mut self.products.col_as_slice_mut(column)[column..];
            for (product, factor) in products.iter_mut().zip(&factors[column..]) {
                *product *= factor * factors[column];
            }
        }
        scale
    }
}

/// Adds rows^T rows (of rows (n, d)) to the lower triangle of a (d, d) matrix. A Spark task is one core: it takes
/// `Par::Seq`.
pub(crate) fn add_products(sum: &mut Mat<f64>, rows: MatRef<'_, f64>, par: Par) {
    matmul(
        sum,
        BlockStructure::TriangularLower,
        Accum::Add,
        rows.transpose(),
        BlockStructure::Rectangular,
        rows,
        BlockStructure::Rectangular,
        1.0,
        par,
    );
}
