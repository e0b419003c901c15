//! What a solver finds.

use faer::MatRef;
use ndarray::Array2;

use crate::Result;
use crate::pca::limits::{Keep, too_large};

/// Eigenvalues below this share of the largest are rounding: the products behind them are exact to about 1e-16 of the
/// largest, and at most 4,096 of them are seen to add up.
const RANK_TOLERANCE: f64 = 1e-12;

/// What a solver found.
pub(crate) struct Solution {
    /// Mean of each feature (D).
    pub mean: Vec<f64>,
    /// Sample standard deviation of each feature (D), where the rows were standardised.
    pub scale: Option<Vec<f64>>,
    /// Eigenvalues of the scatter.
    pub spectrum: Spectrum,
    /// The first eigenvectors (at most k, D), orthonormal, of any sign; none past the rank.
    pub components: Array2<f64>,
}

/// Eigenvalues of the scatter, in descending order, those past the rank left out; and the sum of all.
pub(crate) struct Spectrum {
    pub eigenvalues: Vec<f64>,
    pub total: f64,
}

impl Spectrum {
    /// From all eigenvalues in ascending order. Centred rows have a rank of at most N - 1.
    ///
    /// # Errors
    /// [`Error::Pca`] if products overflowed f64.
    pub(crate) fn exact(ascending: &[f64], n_samples: u64) -> Result<Self> {
        let descending: Vec<f64> = ascending.iter().rev().copied().collect();
        let mut spectrum = Self::partial(&descending, 0.0, n_samples)?;
        spectrum.total = spectrum.eigenvalues.iter().sum();
        Ok(spectrum)
    }

    /// From the largest eigenvalues in descending order, and the sum of all.
    ///
    /// # Errors
    /// [`Error::Pca`] if products overflowed f64.
    pub(crate) fn partial(descending: &[f64], total: f64, n_samples: u64) -> Result<Self> {
        if !descending.iter().all(|value| value.is_finite()) {
            return Err(too_large());
        }
        let tolerance = descending.first().unwrap_or(&0.0) * RANK_TOLERANCE;
        let most = usize::try_from(n_samples.saturating_sub(1)).unwrap_or(usize::MAX);
        let in_rank = descending.iter().copied().take(most).take_while(|&value| value > tolerance);
        Ok(Self { eigenvalues: in_rank.collect(), total })
    }

    pub(crate) fn rank(&self) -> usize {
        self.eigenvalues.len()
    }

    /// What the eigenvalues leave of the total: 0 where all were found.
    pub(crate) fn unseen(&self) -> f64 {
        (self.total - self.eigenvalues.iter().sum::<f64>()).max(0.0)
    }

    /// k: as asked, or the smallest number of components whose ratios sum to the variance asked; at least 1.
    pub(crate) fn components_to(&self, keep: Keep) -> usize {
        match keep {
            Keep::Components(k) => k,
            Keep::Variance(variance) => {
                let mut sum = 0.0;
                let reached = self.eigenvalues.iter().position(|value| {
                    sum += value;
                    sum >= variance * self.total
                });
                reached.map_or(self.rank().max(1), |last| last + 1)
            }
        }
    }
}

/// Columns (D, m) as rows (m, D).
pub(crate) fn rows_of(columns: MatRef<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn((columns.ncols(), columns.nrows()), |(i, j)| columns[(j, i)])
}
