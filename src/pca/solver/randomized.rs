//! Very wide rows: block Krylov iteration over a few passes, with nothing larger than D times a few hundred.
//!
//! The first pass multiplies the scatter S with random directions; each further pass with the part of the last products
//! that is new. The components are the best in the space V of all directions so far (Rayleigh-Ritz): since S V is
//! known, so are the residuals S u - λ u, which bound the error of each eigenvalue.
//!
//! C. Musco, C. Musco, "Randomized Block Krylov Methods for Stronger and Faster Approximate Singular Value
//! Decomposition", 2015, algorithm 2.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};

use super::super::block::{divisor, reciprocal};
use super::super::sketch::{Basis, Sketch};
use super::super::{Keep, Pca, Solver};
use super::{Solution, Spectrum, leading, not_solved, rows_of};
use crate::{Error, Result};

/// Directions whose length falls below this share when the known ones are taken off are rounding.
const NEW_DIRECTION: f64 = 1e-10;

/// A PCA under way: hand [`Krylov::basis`] to all rows, [`Krylov::step`] the merged sketch, until
/// [`Krylov::residual`] is small; then [`Krylov::finish`].
#[derive(Clone, Debug)]
pub struct Krylov {
    standardize: bool,
    basis: Basis,
    /// Count, mean and deviations, from the first pass.
    seen: Option<Seen>,
    /// Orthonormal directions V (D, m) and S V (D, m).
    directions: Mat<f64>,
    products: Mat<f64>,
}

#[derive(Clone, Debug)]
struct Seen {
    count: u64,
    mean: Vec<f64>,
    /// Sample standard deviations, where standardised.
    scale: Option<Vec<f64>>,
    /// Trace of S.
    total: f64,
}

/// Ritz values in descending order, and their vectors (m, m) in terms of the directions.
struct Ritz {
    values: Vec<f64>,
    turn: Mat<f64>,
}

impl Krylov {
    /// Starts with `width` random directions (k and some 10 more) that `seed` determines.
    ///
    /// # Errors
    /// [`Error::Option`] if the width is not in 1..=D.
    pub fn new(n_features: usize, width: usize, standardize: bool, seed: u64) -> Result<Self> {
        if width == 0 || width > n_features {
            return Err(Error::Option {
                name: "width",
                expected: format!("from 1 to the number of features, {n_features}"),
                found: width.to_string(),
            });
        }
        let mut state = seed;
        let columns = Mat::from_fn(n_features, width, |_, _| gaussian(&mut state));
        Ok(Self {
            standardize,
            basis: Basis { pass: 0, columns },
            seen: None,
            directions: Mat::zeros(n_features, 0),
            products: Mat::zeros(n_features, 0),
        })
    }

    /// What the next pass multiplies with.
    #[must_use]
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Takes in the sketch of all rows of one pass, and makes the basis of the next.
    ///
    /// # Errors
    /// [`Error::Shape`] if the sketch is of another pass, or of other rows than the first; [`Error::NotEnoughSamples`]
    /// if it has no rows; [`Error::Pca`] if products overflow f64.
    pub fn step(&mut self, sketch: &Sketch) -> Result<()> {
        self.check(sketch)?;
        let standardize = self.standardize;
        let seen = self.seen.get_or_insert_with(|| Seen::new(sketch, standardize));
        let mut products = sketch.products.clone();
        seen.scale_rows(&mut products);
        if !products.as_ref().is_all_finite() || !seen.total.is_finite() {
            return Err(not_solved());
        }
        if sketch.pass() > 0 {
            // The basis went out over the deviations: in here, directions are those of the standardised rows.
            let first = self.directions.ncols() - self.basis.columns.ncols();
            let mut all = Mat::zeros(products.nrows(), self.directions.ncols());
            all.subcols_mut(0, first).copy_from(&self.products);
            all.subcols_mut(first, products.ncols()).copy_from(&products);
            self.products = all;
        }
        let mut columns = new_directions(self.directions.as_ref(), products);
        self.directions = beside(&self.directions, &columns);
        if let Some(seen) = &self.seen {
            seen.scale_rows(&mut columns);
        }
        self.basis = Basis { pass: self.basis.pass + 1, columns };
        Ok(())
    }

    fn check(&self, sketch: &Sketch) -> Result<()> {
        if sketch.count == 0 {
            return Err(Error::NotEnoughSamples { needed: 1, found: 0 });
        }
        let expected = self.seen.as_ref().map_or(sketch.count, |seen| seen.count);
        if (sketch.pass(), sketch.count) == (self.basis.pass, expected) {
            return Ok(());
        }
        Err(Error::Shape {
            expected: format!("a sketch of {expected} rows in pass {}", self.basis.pass),
            found: format!("one of {} rows in pass {}", sketch.count, sketch.pass()),
        })
    }

    /// The largest |S u - λ u| / λ of the first k components; `None` before the second pass. An eigenvalue differs from
    /// λ by at most |S u - λ u|, and by its square over the gap to the others.
    ///
    /// # Errors
    /// [`Error::Pca`] if products overflow f64.
    pub fn residual(&self, k: usize) -> Result<Option<f64>> {
        if self.products.ncols() == 0 {
            return Ok(None);
        }
        let ritz = self.ritz()?;
        let turn = ritz.turn.subcols(0, k.min(ritz.values.len()));
        let vectors = product(self.known(), turn);
        let mut residuals = product(self.products.as_ref(), turn);
        let mut largest = 0.0_f64;
        for (j, &value) in ritz.values.iter().enumerate().take(vectors.ncols()).filter(|(_, value)| **value > 0.0) {
            for (residual, entry) in residuals.col_as_slice_mut(j).iter_mut().zip(vectors.col_as_slice(j)) {
                *residual -= value * entry;
            }
            largest = largest.max(residuals.col(j).norm_l2() / value);
        }
        Ok(Some(largest))
    }

    /// Whether all directions that the rows have are known: no further pass can add to the components.
    #[must_use]
    pub fn exhausted(&self) -> bool {
        self.seen.is_some() && self.basis.columns.ncols() == 0
    }

    /// The PCA.
    ///
    /// # Errors
    /// [`Error::Pca`] before the second pass, if products overflow f64, or if `keep` asks for more than was found.
    pub fn finish(&self, keep: Keep) -> Result<Pca> {
        let n_features = self.directions.nrows();
        keep.check(n_features)?;
        let (Some(seen), true) = (&self.seen, self.products.ncols() > 0 || self.exhausted()) else {
            return Err(Error::Pca { reason: "the randomized solver needs at least two passes".to_owned() });
        };
        let ritz = self.ritz()?;
        let spectrum = Spectrum::partial(&ritz.values, seen.total, seen.count)?;
        let m = spectrum.components_to(keep);
        self.check_found(&spectrum, keep, m)?;
        let m = m.min(spectrum.rank());
        let components = rows_of(product(self.known(), ritz.turn.subcols(0, m)).as_ref());
        let solution = Solution { mean: seen.mean.clone(), scale: seen.scale.clone(), spectrum, components };
        Ok(Pca::from_solution(solution, keep, seen.count, Solver::Randomized))
    }

    fn check_found(&self, spectrum: &Spectrum, keep: Keep, k: usize) -> Result<()> {
        let found = spectrum.eigenvalues.iter().sum::<f64>() / spectrum.total.max(f64::MIN_POSITIVE);
        let reason = match keep {
            Keep::Variance(share) if !self.exhausted() && found < share => {
                format!("{} components reach {found:.4} of the variance, not {share}: raise maxK", spectrum.rank())
            }
            Keep::Components(_) if !self.exhausted() && spectrum.rank() < k && spectrum.unseen() > 0.0 => {
                format!(
                    "the randomized solver found {} components, not {k}: start with a larger width",
                    spectrum.rank()
                )
            }
            _ => return Ok(()),
        };
        Err(Error::Pca { reason })
    }

    /// The directions whose products are known (D, m).
    fn known(&self) -> MatRef<'_, f64> {
        self.directions.subcols(0, self.products.ncols())
    }

    /// The best approximations in the space of the directions whose products are known.
    fn ritz(&self) -> Result<Ritz> {
        let m = self.products.ncols();
        let inner = product(self.known().transpose(), self.products.as_ref());
        let inner = Mat::from_fn(m, m, |i, j| f64::midpoint(inner[(i, j)], inner[(j, i)]));
        let eigen = inner.self_adjoint_eigen(Side::Lower).map_err(|_| not_solved())?;
        let values = eigen.S().column_vector().iter().rev().copied().collect();
        Ok(Ritz { values, turn: leading(eigen.U(), m) })
    }
}

impl Seen {
    fn new(sketch: &Sketch, standardize: bool) -> Self {
        let degrees = divisor(sketch.count.max(2) - 1);
        let scale: Option<Vec<f64>> =
            standardize.then(|| sketch.squares.iter().map(|s| (s / degrees).sqrt()).collect());
        let total = match &scale {
            None => sketch.squares.iter().sum(),
            Some(scale) => degrees * divisor(scale.iter().filter(|&&scale| scale > 0.0).count() as u64),
        };
        Self { count: sketch.count, mean: sketch.mean.clone(), scale, total }
    }

    /// Divides the rows of a matrix (D, m) by the deviations, where standardised.
    fn scale_rows(&self, matrix: &mut Mat<f64>) {
        let Some(scale) = &self.scale else { return };
        for column in 0..matrix.ncols() {
            for (value, scale) in matrix.col_as_slice_mut(column).iter_mut().zip(scale) {
                *value *= reciprocal(*scale);
            }
        }
    }
}

/// What `candidates` span besides orthonormal `known`, orthonormal; nothing where only rounding is left.
fn new_directions(known: MatRef<'_, f64>, mut candidates: Mat<f64>) -> Mat<f64> {
    let n = candidates.nrows();
    for column in 0..candidates.ncols() {
        normalize(candidates.col_as_slice_mut(column));
    }
    for _ in 0..2 {
        // Twice is enough (Kahan and Parlett).
        let shares = product(known.transpose(), candidates.as_ref());
        matmul(&mut candidates, Accum::Add, known, shares.as_ref(), -1.0, Par::Seq);
    }
    let qr = candidates.col_piv_qr();
    let r = qr.thin_R();
    let rank = (0..r.nrows()).take_while(|&i| r[(i, i)].abs() > NEW_DIRECTION).count();
    let mut columns = Mat::zeros(n, rank);
    columns.copy_from(qr.compute_thin_Q().subcols(0, rank));
    let shares = product(known.transpose(), columns.as_ref());
    matmul(&mut columns, Accum::Add, known, shares.as_ref(), -1.0, Par::Seq);
    columns
}

fn normalize(column: &mut [f64]) {
    let length = column.iter().map(|value| value * value).sum::<f64>().sqrt();
    for value in column {
        *value *= reciprocal(length);
    }
}

fn beside(left: &Mat<f64>, right: &Mat<f64>) -> Mat<f64> {
    let mut both = Mat::zeros(left.nrows(), left.ncols() + right.ncols());
    both.subcols_mut(0, left.ncols()).copy_from(left);
    both.subcols_mut(left.ncols(), right.ncols()).copy_from(right);
    both
}

fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(&mut out, Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// A normal deviate by Box and Muller's transform of two uniform ones of splitmix64 (Steele, Lea, Flood 2014).
fn gaussian(state: &mut u64) -> f64 {
    let (radius, angle) = (uniform(state), uniform(state));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// In (0, 1].
#[allow(clippy::cast_precision_loss)] // 53 bits are exact
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}
