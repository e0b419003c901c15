//! Principal components of feature rows: [`moments::Moments`] of the rows (very wide rows: [`sketch::Sketch`]), [`Pca`] fitted to them,
//! [`projection::Projection`] of rows onto its components.
//!
//! With X (N, D) the rows, m their mean and S = sum of (x - m)(x - m)^T their scatter:
//!
//! | name | formula | shape |
//! |---|---|---|
//! | `components` | first k eigenvectors v of S, unit length | (k, D) |
//! | `explained_variance` | eigenvalue / (N - 1) | (k) |
//! | `explained_variance_ratio` | eigenvalue / trace(S) | (k) |
//! | `singular_values` | sqrt(eigenvalue) | (k) |
//! | `noise_variance` | mean of the min(N, D) - k variances left out | |
//!
//! The words and definitions are scikit-learn's `PCA`. Standardised means S of (x - m) / s, with s the sample standard
//! deviation (N - 1), and 0 for a column of s = 0 (Spark's `StandardScaler`).

mod block;
mod bytes;
mod complete;
pub mod moments;
pub mod projection;
mod scatter;
pub mod sketch;
mod solver;

pub use block::Real;
use ndarray::Array2;

use block::divisor;
use bytes::{Reader, header, put_counts, put_numbers};
use complete::{complete, fix_signs};
use moments::Moments;
pub use solver::randomized::Krylov;
use solver::{Solution, covariance, gram, on_all_cores};

use crate::{Error, Result};

/// Most features of a row: 2 GiB for each vector of D numbers in f64.
pub const MAX_FEATURES: usize = 1 << 28;

/// Most numbers of a matrix of components or directions, k x D: 2 GiB in f64, as much as the widest scatter.
pub const MAX_VALUES: usize = 1 << 28;

/// "Sparkcider PCA": the start of a saved model.
const MAGIC: [u8; 4] = *b"SCPC";
const VERSION: u32 = 1;

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
    fn check(self, n_features: usize) -> Result<()> {
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
fn check_matrix(name: &'static str, n: usize, n_features: usize) -> Result<()> {
    let expected = if !(1..=n_features).contains(&n) {
        format!("from 1 to the number of features, {n_features}")
    } else if n.saturating_mul(n_features) > MAX_VALUES {
        format!("at most {} for {n_features} features", MAX_VALUES / n_features)
    } else {
        return Ok(());
    };
    Err(Error::Option { name, expected, found: n.to_string() })
}

/// How the eigenvectors are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solver {
    /// From the D x D scatter.
    Covariance,
    /// From the N x N products of the rows.
    Gram,
    /// From the products of the scatter with a few directions, over a few passes ([`Krylov`]).
    Randomized,
}

impl Solver {
    const ALL: [Self; 3] = [Self::Covariance, Self::Gram, Self::Randomized];

    /// The solver's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Covariance => "covariance",
            Self::Gram => "gram",
            Self::Randomized => "randomized",
        }
    }
}

impl std::str::FromStr for Solver {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|solver| solver.name() == name).ok_or_else(|| Error::Option {
            name: "solver",
            expected: "covariance, gram or randomized".to_owned(),
            found: name.to_owned(),
        })
    }
}

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
    /// [`Error::Option`] if k is not in 1..=D, k x D over [`MAX_VALUES`], the variance not in (0, 1], `solver` gram and
    /// the rows are not kept, or `solver` randomized;
    /// [`Error::NotEnoughSamples`] for no rows; [`Error::Pca`] if D is over [`moments::MAX_SCATTER_FEATURES`] for the
    /// covariance solver, or products overflow f64.
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

    fn from_solution(solution: Solution, keep: Keep, n_samples: u64, solver: Solver) -> Self {
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
        let Some(&solver) = Solver::ALL.get(solver) else {
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
