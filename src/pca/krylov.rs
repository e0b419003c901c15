//! Very wide rows: block Krylov iteration over a few passes, with nothing larger than D times a few hundred.
//!
//! The first pass multiplies the scatter S with random directions; each further pass with the part of the last products
//! that is new. The components are the best in the space V of all directions so far (Rayleigh-Ritz): since S V is
//! known, so are the residuals S u - λ u, which bound the error of each eigenvalue.
//!
//! C. Musco, C. Musco, "Randomized Block Krylov Methods for Stronger and Faster Approximate Singular Value
//! Decomposition", 2015, algorithm 2.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use ndarray::Array2;

use super::block::{divisor, reciprocal};
use super::limits::{Keep, check_features, check_matrix, check_range, too_large};
use super::model::Pca;
use super::sketch::{Basis, Sketch};
use super::solver::{Eigen, Solution, Solver, Spectrum, on_all_cores, rows_of};
use crate::{Error, Result};

/// Directions whose length falls below this share when the known ones are taken off are rounding.
const NEW_DIRECTION: f64 = 1e-10;

/// A PCA under way: hand [`Krylov::basis`] to all rows, [`Krylov::step`] the merged sketch, until
/// [`Krylov::residual`] is small; then [`Krylov::finish`].
///
/// ```
/// use sparkcider::pca::{Keep, Krylov, Sketch};
///
/// let rows = [Some([0.0, 1.0, 5.0].as_slice()), Some(&[2.0, 3.0, 5.0]), Some(&[4.0, 5.0, 5.0])];
/// let mut krylov = Krylov::new(3, 1, false, 0)?;
/// for _ in 0..2 {
///     let mut sketch = Sketch::new(&krylov.basis());
///     sketch.update(&krylov.basis(), &rows, false)?;
///     krylov.step(&sketch)?;
/// }
/// assert!(krylov.residual(1)?.is_some_and(|residual| residual < 1e-6));
/// assert_eq!(krylov.finish(Keep::Components(1))?.rank(), 1);
/// # Ok::<(), sparkcider::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Krylov {
    standardize: bool,
    pass: u64,
    /// What the next pass multiplies with (D, l): random at first, then orthonormal and new.
    next: Mat<f64>,
    /// Count, mean and deviations, from the first pass.
    seen: Option<Seen>,
    /// Orthonormal directions V (D, m): a matrix for each pass.
    directions: Vec<Mat<f64>>,
    /// V^T S V (m, m).
    inner: Mat<f64>,
    /// The last directions' share of S V outside of V: next^T S (last).
    outside: Mat<f64>,
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
    /// [`Error::Option`] if the width is not in 1..=D, or D x width over [`super::MAX_VALUES`].
    pub fn new(n_features: usize, width: usize, standardize: bool, seed: u64) -> Result<Self> {
        check_features(n_features)?;
        check_matrix("width", width, n_features)?;
        let mut state = seed;
        Ok(Self {
            standardize,
            pass: 0,
            next: Mat::from_fn(n_features, width, |_, _| gaussian(&mut state)),
            seen: None,
            directions: Vec::new(),
            inner: Mat::new(),
            outside: Mat::new(),
        })
    }

    /// What the next pass multiplies with.
    #[must_use]
    pub fn basis(&self) -> Basis {
        let mut columns = self.next.clone();
        if let Some(seen) = &self.seen {
            // It goes to rows as they are; in here, directions are those of the standardised rows.
            seen.scale_rows(&mut columns);
        }
        Basis { pass: self.pass, columns }
    }

    /// Takes in the sketch of all rows of one pass, and makes the basis of the next.
    ///
    /// # Errors
    /// [`Error::Shape`] if the sketch is of another pass, or of other rows than the first; [`Error::NotEnoughSamples`]
    /// if it has no rows; [`Error::Pca`] if products overflow or underflow f64.
    pub fn step(&mut self, sketch: &Sketch) -> Result<()> {
        self.check(sketch)?;
        check_range(&sketch.mean, sketch.squares.iter().sum())?;
        let standardize = self.standardize;
        let seen = self.seen.get_or_insert_with(|| Seen::new(sketch, standardize));
        let mut products = sketch.products.clone();
        seen.scale_rows(&mut products);
        if !products.as_ref().is_all_finite() {
            return Err(too_large());
        }
        on_all_cores(|| {
            if self.pass > 0 {
                self.directions.push(std::mem::replace(&mut self.next, Mat::new()));
                self.inner = bordered(&self.inner, &self.directions, &products);
            }
            self.next = new_directions(&self.directions, products.clone());
            self.outside = product(self.next.transpose(), products.as_ref());
            self.pass += 1;
            Ok(())
        })
    }

    fn check(&self, sketch: &Sketch) -> Result<()> {
        if sketch.count == 0 {
            return Err(Error::NotEnoughSamples { needed: 1, found: 0 });
        }
        let expected = self.seen.as_ref().map_or(sketch.count, |seen| seen.count);
        let (shape, found) = (self.next.shape(), sketch.products.shape());
        if (sketch.pass(), sketch.count, found) == (self.pass, expected, shape) {
            return Ok(());
        }
        let shown = |rows, pass, (n_features, width)| {
            format!("{rows} rows of {n_features} features in {width} directions of pass {pass}")
        };
        Err(Error::Shape {
            expected: format!("a sketch of {}", shown(expected, self.pass, shape)),
            found: format!("one of {}", shown(sketch.count, sketch.pass(), found)),
        })
    }

    /// The largest |S u - λ u| / λ of the first k components; `None` before the second pass. An eigenvalue differs from
    /// λ by at most |S u - λ u|, and by its square over the gap to the others.
    ///
    /// # Errors
    /// [`Error::Pca`] if products overflow f64.
    pub fn residual(&self, k: usize) -> Result<Option<f64>> {
        if self.directions.is_empty() {
            return Ok(None);
        }
        on_all_cores(|| {
            let Ritz { values, turn } = self.ritz()?;
            // All of S V but the last directions' share is in V, where u leaves nothing.
            let last = turn.subrows(turn.nrows() - self.outside.ncols(), self.outside.ncols());
            let left = product(self.outside.as_ref(), last);
            let residuals = values.iter().take(k).enumerate().filter(|(_, value)| **value > 0.0);
            Ok(Some(residuals.map(|(j, value)| left.col(j).norm_l2() / value).fold(0.0, f64::max)))
        })
    }

    /// Whether all directions that the rows have are known: no further pass can add to the components.
    #[must_use]
    pub fn exhausted(&self) -> bool {
        self.seen.is_some() && self.next.ncols() == 0
    }

    /// The PCA.
    ///
    /// # Errors
    /// [`Error::Pca`] before the second pass, if products overflow f64, or if `keep` asks for more than was found.
    pub fn finish(&self, keep: Keep) -> Result<Pca> {
        keep.check(self.next.nrows())?;
        let (Some(seen), true) = (&self.seen, !self.directions.is_empty() || self.exhausted()) else {
            return Err(Error::Pca { reason: "the randomized solver needs at least two passes".to_owned() });
        };
        let (spectrum, components) = on_all_cores(|| {
            let ritz = self.ritz()?;
            let spectrum = Spectrum::partial(&ritz.values, seen.total, seen.count)?;
            let m = spectrum.components_to(keep);
            self.check_found(&spectrum, keep, m)?;
            let components = self.components(ritz.turn.subcols(0, m.min(spectrum.rank())));
            Ok((spectrum, components))
        })?;
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

    /// The directions turned: components (m, D).
    fn components(&self, turn: MatRef<'_, f64>) -> Array2<f64> {
        let mut columns = Mat::zeros(self.next.nrows(), turn.ncols());
        let mut first = 0;
        for directions in &self.directions {
            let turn = turn.subrows(first, directions.ncols());
            matmul(&mut columns, Accum::Add, directions, turn, 1.0, Par::rayon(0));
            first += directions.ncols();
        }
        rows_of(columns.as_ref())
    }

    /// The best approximations in the space of the directions.
    fn ritz(&self) -> Result<Ritz> {
        if self.inner.nrows() == 0 {
            return Ok(Ritz { values: Vec::new(), turn: Mat::new() });
        }
        let eigen = Eigen::of(self.inner.clone())?;
        let values = eigen.values.iter().rev().copied().collect();
        Ok(Ritz { values, turn: eigen.leading(self.inner.nrows()) })
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

/// The symmetric matrix `known`, and beside and below it the products of `left` (the last of them the new one) with
/// the new columns `right`.
fn bordered(known: &Mat<f64>, left: &[Mat<f64>], right: &Mat<f64>) -> Mat<f64> {
    let first = known.ncols();
    let mut all = Mat::zeros(first + right.ncols(), first + right.ncols());
    all.submatrix_mut(0, 0, first, first).copy_from(known);
    let mut row = 0;
    for left in left {
        let part = product(left.transpose(), right.as_ref());
        all.submatrix_mut(row, first, part.nrows(), part.ncols()).copy_from(&part);
        all.submatrix_mut(first, row, part.ncols(), part.nrows()).copy_from(part.transpose());
        row += part.nrows();
    }
    all
}

/// What `candidates` span besides the orthonormal `known`, orthonormal; nothing where only rounding is left.
fn new_directions(known: &[Mat<f64>], mut candidates: Mat<f64>) -> Mat<f64> {
    for column in 0..candidates.ncols() {
        normalize(candidates.col_as_slice_mut(column));
    }
    for _ in 0..2 {
        // Twice is enough (Kahan and Parlett).
        for known in known {
            let shares = product(known.transpose(), candidates.as_ref());
            matmul(&mut candidates, Accum::Add, known, shares.as_ref(), -1.0, Par::rayon(0));
        }
        candidates = orthonormal(&candidates);
    }
    candidates
}

/// An orthonormal basis of what columns of length 1 at most span.
fn orthonormal(columns: &Mat<f64>) -> Mat<f64> {
    // The pivoted decomposition shows the rank, but is slow for long columns: it gets the small factor of a plain one.
    let qr = columns.qr();
    let pivoted = qr.thin_R().col_piv_qr();
    let r = pivoted.thin_R();
    let rank = (0..r.nrows()).take_while(|&i| r[(i, i)].abs() > NEW_DIRECTION).count();
    product(qr.compute_thin_Q().as_ref(), pivoted.compute_thin_Q().subcols(0, rank))
}

fn normalize(column: &mut [f64]) {
    let largest = column.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    // the squares stay in the range of f64; a power of two takes no digits
    let power = reciprocal(f64::from_bits(largest.to_bits() & f64::INFINITY.to_bits()));
    for value in &mut *column {
        *value *= power;
    }
    let length = column.iter().map(|value| value * value).sum::<f64>().sqrt();
    for value in column {
        *value *= reciprocal(length);
    }
}

fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(&mut out, Accum::Replace, a, b, 1.0, Par::rayon(0));
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
