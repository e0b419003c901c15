//! Principal components of feature rows: [`Moments`] of the rows (very wide rows: [`Sketch`]), [`Pca`] fitted to them,
//! [`Projection`] of rows onto its components.
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
mod krylov;
mod limits;
mod model;
mod moments;
mod projection;
mod scatter;
mod sketch;
mod solver;

pub use block::Real;
pub use krylov::Krylov;
pub use limits::{Keep, MAX_FEATURES, MAX_VALUES};
pub use model::Pca;
pub use moments::{MAX_ROWS_KEPT, MAX_SCATTER_FEATURES, Moments};
pub use projection::{Projected, Projection};
pub use sketch::{Basis, Sketch};
pub use solver::Solver;
