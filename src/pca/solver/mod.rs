//! The solvers: from the statistics of the rows to eigenvalues and eigenvectors of their scatter.

pub(crate) mod covariance;
mod eigen;
pub(crate) mod gram;
mod solution;

use std::fmt;
use std::str::FromStr;
use std::thread;

use rayon::{ThreadBuilder, ThreadPoolBuilder};

pub(crate) use eigen::Eigen;
pub(crate) use solution::{Solution, Spectrum, rows_of};

use crate::{Error, Result, parse};

/// How the eigenvectors are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solver {
    /// From the D x D scatter.
    Covariance,
    /// From the N x N products of the rows.
    Gram,
    /// From the products of the scatter with a few directions, over a few passes ([`Krylov`](super::Krylov)).
    Randomized,
}

/// In the order of the numbers that stand for them in saved models.
const NAMES: [(&str, Solver); 3] =
    [("covariance", Solver::Covariance), ("gram", Solver::Gram), ("randomized", Solver::Randomized)];

impl Solver {
    /// The solver of a number in a saved model.
    pub(super) fn from_number(number: usize) -> Option<Self> {
        NAMES.get(number).map(|(_, solver)| *solver)
    }
}

impl FromStr for Solver {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse::choice("solver", &NAMES, text)
    }
}

impl fmt::Display for Solver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&NAMES, self).unwrap_or_default())
    }
}

/// Runs a solver with all cores for faer: one driver solves what many tasks, each on its own core, have summed. The
/// threads have ended when the call returns, so a process that forks later has none: neither a dropped pool nor a scoped
/// one waits for the end of its threads, so each is joined.
///
/// # Errors
/// [`Error::Pca`] if the threads cannot be started; what `solve` returns.
pub(crate) fn on_all_cores<T: Send>(solve: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let mut threads = Vec::new();
    let start = |thread: ThreadBuilder| {
        threads.push(thread::Builder::new().spawn(|| thread.run())?);
        Ok(())
    };
    let solved = match ThreadPoolBuilder::new().spawn_handler(start).build() {
        Ok(pool) => pool.install(solve),
        Err(error) => Err(Error::Pca { reason: format!("no threads to solve with: {error}") }),
    };
    for thread in threads {
        let _ = thread.join(); // `install` has passed on a panic of `solve` already
    }
    solved
}
