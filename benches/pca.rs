//! Speed of the PCA on one core, beside the f64 matrix product of the same machine: `cargo bench --bench pca`.
//!
//! Prints seconds of this thread on a core (best of three, so that other work on the machine counts little) and GFLOP/s;
//! the fit, which takes all cores, in seconds of the clock. A triangular product of N rows of D features counts
//! N D (D + 1) operations.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)] // a script that prints its table

use std::hint::black_box;
use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use sparkcider::pca::{Keep, Moments, Pca, Projection, Solver};

fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut time = || {
        let start = seconds_on_core();
        black_box(work());
        seconds_on_core() - start
    };
    (0..3).map(|_| time()).fold(f64::INFINITY, f64::min)
}

/// Linux counts the nanoseconds of each thread on a core in the first word of this file.
fn seconds_on_core() -> f64 {
    let words = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    words.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Numbers in -0.5..0.5, different in every row.
fn features(n: usize, n_features: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); // Numerical Recipes' generator
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n * n_features).map(|_| next()).collect()
}

fn peak() -> f64 {
    let n = 2_048;
    let a = Mat::<f64>::from_fn(n, n, |i, j| (i + j) as f64);
    let mut c = Mat::zeros(n, n);
    let seconds = best(|| matmul(&mut c, Accum::Replace, &a, &a, 1.0, Par::Seq));
    2.0 * (n as f64).powi(3) / seconds / 1e9
}

fn exact(n: usize, n_features: usize, k: usize, peak: f64) {
    let values = features(n, n_features);
    let rows: Vec<Option<&[f32]>> = values.chunks(n_features).map(Some).collect();
    let mut moments = Moments::new();
    let update = best(|| {
        moments = Moments::new();
        moments.update(&rows, false).unwrap()
    });
    let start = Instant::now();
    let pca = Pca::fit(&moments, Keep::Components(k), true, None).unwrap();
    let fit = start.elapsed().as_secs_f64();
    let speed = (n * n_features * (n_features + 1)) as f64 / update / 1e9;
    let solver = pca.solver();
    let kernel = if solver == Solver::Gram {
        String::new()
    } else {
        format!("{speed:.1} GFLOP/s, {:.0} % of peak", 100.0 * speed / peak)
    };
    println!("{n} x {n_features}: moments {update:.3} s {kernel}; fit k = {k} ({solver}) {fit:.3} s");
    let projection = Projection::new(&pca, true, false);
    let project = best(|| projection.project(&rows, false).unwrap());
    println!("{n} x {n_features}: projection onto {k}: {project:.3} s, {:.0} rows/s", n as f64 / project);
}

fn main() {
    let peak = peak();
    println!("f64 matrix product of 2,048: {peak:.1} GFLOP/s");
    exact(23_619, 1_280, 100, peak);
    exact(8, 8_192, 16, peak);
    exact(2_000, 100_352, 100, peak);
}
