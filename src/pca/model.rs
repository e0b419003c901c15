//! A fitted PCA: its fit to moments, its numbers, its bytes.

use ndarray::Array2;

use super::block::divisor;
use super::bytes::{Reader, header, put_counts, put_numbers};
use super::complete::{complete, fix_signs};
use super::limits::Keep;
use super::moments::{self, Moments};
use super::solver::{Solution, Solver, covariance, gram, on_all_cores};
use crate::{Error, Result};

/// "Sparkcider PCA": the start of a saved model.
const MAGIC: [u8; 4] = *b"SCPC";
const VERSION: u32 = 1;

/// A fitted PCA.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    mean: Vec<f64>,
    scale: Option<Vec<f64>>,
    components: Array2<f64>,
    explained_variance: Vec<f64>,
    total_variance: f64,
    noise_variance: f64,
    n_samples: u64,
    rank: usize,
    solver: Solver,
}

impl Pca {
    /// Fits to moments. Without a `solver`: gram while the moments keep their rows (N <= D / 2 and N <= 4,096), else
    /// covariance.
    ///
    /// k over the rank is allowed: the variances past the rank are exactly 0 and the components complete the others to
    /// an orthonormal set, always to the same one. One row, or constant rows, have rank 0.
    ///
    /// # Errors
    /// [`Error::Option`] if k is not in 1..=D, k x D over [`MAX_VALUES`](super::MAX_VALUES), the variance not in (0, 1], `solver` gram and
    /// the rows are not kept, or `solver` randomized;
    /// [`Error::NotEnoughSamples`] for no rows; [`Error::Pca`] if D is over [`moments::MAX_SCATTER_FEATURES`] for the
    /// covariance solver, or products overflow f64.
    ///
    /// ```
    /// use sparkcider::pca::{Keep, Moments, Pca};
    ///
    /// let mut moments = Moments::new();
    /// moments.update(&[Some([0.0, 0.0].as_slice()), Some(&[2.0, 2.0]), Some(&[4.0, 4.0])], false)?;
    /// let pca = Pca::fit(&moments, Keep::Variance(0.99), false, None)?;
    /// assert_eq!(pca.components().nrows(), 1);
    /// assert!((pca.explained_variance_ratio()[0] - 1.0).abs() < 1e-12);
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn fit(moments: &Moments, keep: Keep, standardize: bool, solver: Option<Solver>) -> Result<Self> {
        if moments.n_samples() == 0 {
            return Err(Error::NotEnoughSamples { needed: 1, found: 0 });
        }
        keep.check(moments.n_features())?;
        let (solution, solver) = match (moments.rows(), solver) {
            (Some(rows), None | Some(Solver::Gram)) => {
                (on_all_cores(|| gram::solve(rows, moments.n_features(), keep, standardize))?, Solver::Gram)
            }
            (None, Some(Solver::Gram)) => {
                return Err(Error::Option {
                    name: "solver",
                    expected: format!("covariance for more than D / 2 or {} rows", moments::MAX_ROWS_KEPT),
                    found: format!("gram for {} rows of {} features", moments.n_samples(), moments.n_features()),
                });
            }
            (_, Some(Solver::Randomized)) => {
                return Err(Error::Option {
                    name: "solver",
                    expected: "covariance or gram for moments".to_owned(),
                    found: "randomized, which takes a basis over the rows instead".to_owned(),
                });
            }
            (_, None | Some(Solver::Covariance)) => {
                moments::check_width(moments.n_features())?;
                (on_all_cores(|| covariance::solve(moments.to_scatter(), keep, standardize))?, Solver::Covariance)
            }
        };
        Ok(Self::from_solution(solution, keep, moments.n_samples(), solver))
    }

    pub(super) fn from_solution(solution: Solution, keep: Keep, n_samples: u64, solver: Solver) -> Self {
        let Solution { mean, scale, spectrum, mut components } = solution;
        let k = spectrum.components_to(keep);
        let degrees = divisor(n_samples.max(2) - 1);
        complete(&mut components, k, mean.len());
        fix_signs(&mut components);
        let mut explained_variance: Vec<f64> = spectrum.eigenvalues.iter().take(k).map(|v| v / degrees).collect();
        explained_variance.resize(k, 0.0);
        let left_out = spectrum.eigenvalues.iter().skip(k).sum::<f64>() + spectrum.unseen();
        let n_left_out = n_samples.min(mean.len() as u64).saturating_sub(k as u64);
        Self {
            rank: spectrum.rank(),
            total_variance: spectrum.total / degrees,
            noise_variance: if n_left_out == 0 { 0.0 } else { left_out / degrees / divisor(n_left_out) },
            mean,
            scale,
            components,
            explained_variance,
            n_samples,
            solver,
        }
    }

    /// Mean of each feature (D).
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Sample standard deviation of each feature (D) if fitted with `standardize`; 0 for a constant column.
    #[must_use]
    pub fn scale(&self) -> Option<&[f64]> {
        self.scale.as_deref()
    }

    /// The components (k, D): orthonormal rows by descending variance. The first of the entries of largest magnitude
    /// (to 1e-6) of each is positive.
    #[must_use]
    pub fn components(&self) -> &Array2<f64> {
        &self.components
    }

    /// Variance along each component (k), N - 1 in the denominator.
    #[must_use]
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained_variance
    }

    /// Share of each component (k) in the variance of all features; 0 where there is none.
    #[must_use]
    pub fn explained_variance_ratio(&self) -> Vec<f64> {
        let total = if self.total_variance > 0.0 { self.total_variance } else { 1.0 };
        self.explained_variance.iter().map(|variance| variance / total).collect()
    }

    /// Singular values (k) of the centred rows.
    #[must_use]
    pub fn singular_values(&self) -> Vec<f64> {
        let degrees = divisor(self.n_samples.max(2) - 1);
        self.explained_variance.iter().map(|variance| (variance * degrees).sqrt()).collect()
    }

    /// Variance of all features together: the sum of all explained variances.
    #[must_use]
    pub fn total_variance(&self) -> f64 {
        self.total_variance
    }

    /// Mean of the min(N, D) - k variances left out; 0 if there are none.
    #[must_use]
    pub fn noise_variance(&self) -> f64 {
        self.noise_variance
    }

    /// N, the rows fitted to.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// Number of variances that are not 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The solver that found the components.
    #[must_use]
    pub fn solver(&self) -> Solver {
        self.solver
    }

    /// The model as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (k, n_features) = self.components.dim();
        let mut bytes = header(MAGIC, VERSION);
        let standardized = u64::from(self.scale.is_some());
        let sizes = [n_features as u64, k as u64, self.n_samples, self.rank as u64, standardized, self.solver as u64];
        put_counts(&mut bytes, &sizes);
        put_numbers(&mut bytes, &[self.total_variance, self.noise_variance]);
        put_numbers(&mut bytes, &self.mean);
        put_numbers(&mut bytes, self.scale.as_deref().unwrap_or_default());
        put_numbers(&mut bytes, &self.explained_variance);
        for row in self.components.rows() {
            put_numbers(&mut bytes, row.as_slice().unwrap_or_default());
        }
        bytes
    }

    /// A model from [`Pca::to_bytes`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are something else, cut off or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::open("PCA", MAGIC, VERSION, bytes)?;
        let (n_features, k, n_samples, rank) = (reader.n_features()?, reader.size()?, reader.count()?, reader.size()?);
        let (standardized, solver) = (reader.count()?, reader.size()?);
        if !(1..=n_features).contains(&k) || rank > n_features || n_samples == 0 || standardized > 1 {
            let found = format!("{k} components of rank {rank} of {n_samples} rows of {n_features} features");
            return Err(reader.corrupt(format!("it cannot have {found}")));
        }
        let Some(solver) = Solver::from_number(solver) else {
            return Err(reader.corrupt(format!("solver {solver} is not known")));
        };
        let totals = reader.positive_numbers(2)?;
        let mean = reader.numbers(n_features)?;
        let scale = if standardized == 1 { Some(reader.positive_numbers(n_features)?) } else { None };
        let explained_variance = reader.positive_numbers(k)?;
        let n_values = k.checked_mul(n_features).ok_or_else(|| reader.corrupt("its sizes overflow"))?;
        let values = reader.numbers(n_values)?;
        reader.end()?;
        let components =
            Array2::from_shape_vec((k, n_features), values).map_err(|error| reader.corrupt(error.to_string()))?;
        let (total_variance, noise_variance) = (totals[0], totals[1]);
        Ok(Self {
            mean,
            scale,
            components,
            explained_variance,
            total_variance,
            noise_variance,
            n_samples,
            rank,
            solver,
        })
    }
}
