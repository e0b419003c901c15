//! The sizes that a PCA may have, and how many components are kept.

use crate::{Error, Result};

/// Most features of a row: 2 GiB for each vector of D numbers in f64.
pub const MAX_FEATURES: usize = 1 << 28;

/// Most numbers of a matrix of components or directions, k x D: 2 GiB in f64, as much as the widest scatter.
pub const MAX_VALUES: usize = 1 << 28;

/// A trace of the scatter below this has products without all of their digits.
const SMALLEST_TOTAL: f64 = f64::MIN_POSITIVE / f64::EPSILON;

/// How many components to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// k of them.
    Components(usize),
    /// The smallest number whose variance ratios sum to at least this share, in (0, 1].
    Variance(f64),
}

impl Keep {
    /// # Errors
    /// [`Error::Option`] if k is not in 1..=D, k x D over [`MAX_VALUES`], or the variance not in (0, 1].
    pub(super) fn check(self, n_features: usize) -> Result<()> {
        match self {
            Self::Components(k) => check_matrix("k", k, n_features),
            Self::Variance(variance) if !(variance > 0.0 && variance <= 1.0) => Err(Error::Option {
                name: "variance",
                expected: "over 0 and at most 1".to_owned(),
                found: variance.to_string(),
            }),
            Self::Variance(_) => Ok(()),
        }
    }
}

/// Whether n (`name`) components or directions of D features can be, and fit into memory.
///
/// # Errors
/// [`Error::Option`] if n is not in 1..=D, or n x D over [`MAX_VALUES`].
pub(super) fn check_matrix(name: &'static str, n: usize, n_features: usize) -> Result<()> {
    let expected = if !(1..=n_features).contains(&n) {
        format!("from 1 to the number of features, {n_features}")
    } else if n.saturating_mul(n_features) > MAX_VALUES {
        format!("at most {} for {n_features} features", MAX_VALUES / n_features)
    } else {
        return Ok(());
    };
    Err(Error::Option { name, expected, found: n.to_string() })
}

/// # Errors
/// [`Error::Option`] if D is 0 or over [`MAX_FEATURES`].
pub(super) fn check_features(n_features: usize) -> Result<()> {
    if (1..=MAX_FEATURES).contains(&n_features) {
        return Ok(());
    }
    Err(Error::Option {
        name: "n_features",
        expected: format!("from 1 to {MAX_FEATURES}"),
        found: n_features.to_string(),
    })
}

/// Whether f64 holds the products of rows with this mean (D) and this trace of their scatter, not standardised.
///
/// # Errors
/// [`Error::Pca`] if products overflow or underflow.
pub(super) fn check_range(mean: &[f64], total: f64) -> Result<()> {
    if !total.is_finite() {
        return Err(too_large());
    }
    let largest = mean.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    // without any deviation left, the mean tells constant rows from those whose squares are all 0
    let is_lost = if total > 0.0 { total < SMALLEST_TOTAL } else { largest > 0.0 && largest * largest == 0.0 };
    if !is_lost {
        return Ok(());
    }
    let reason = "the values are so small that their products underflow: multiply all of them by one number";
    Err(Error::Pca { reason: reason.to_owned() })
}

/// Products are not finite; no eigen-decomposition of others fails.
pub(super) fn too_large() -> Error {
    let reason = "the values are so large that their products overflow: divide all of them by one number";
    Error::Pca { reason: reason.to_owned() }
}
