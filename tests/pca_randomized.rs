//! The randomized solver against the exact ones.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap
)] // tests: made-up numbers

use ndarray::Array2;
use sparkcider::Error;
use sparkcider::pca::{Basis, Keep, Krylov, Moments, Pca, Sketch, Solver};

/// The bound on variance ratios for decaying spectra.
const RATIO: f64 = 1e-3;

const N: usize = 300;
const D: usize = 700;
const K: usize = 8;

/// N rows whose i-th independent direction has a deviation of 0.8^i, spread over all features, around 3.
fn sample() -> Vec<f64> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let scores = Array2::from_shape_simple_fn((N, 60), &mut next);
    let turn = Array2::from_shape_fn((60, D), |(i, _)| next() * 0.8_f64.powi(i as i32));
    (scores.dot(&turn) + 3.0).into_raw_vec_and_offset().0
}

fn rows(values: &[f64]) -> Vec<Option<&[f64]>> {
    values.chunks(D).map(Some).collect()
}

/// One pass: `parts` sketches, each through its bytes, merged.
fn pass(basis: &Basis, values: &[f64], parts: usize) -> Sketch {
    let basis = Basis::from_bytes(&basis.to_bytes()).unwrap();
    let mut merged = Sketch::new(&basis);
    for part in values.chunks(values.len().div_ceil(parts * D) * D) {
        let mut sketch = Sketch::new(&basis);
        sketch.update(&basis, &rows(part), false).unwrap();
        merged.merge(&Sketch::from_bytes(&sketch.to_bytes().unwrap()).unwrap()).unwrap();
    }
    merged
}

fn krylov(values: &[f64], width: usize, passes: usize, parts: usize, standardize: bool) -> Krylov {
    let mut krylov = Krylov::new(D, width, standardize, 1).unwrap();
    for _ in 0..passes {
        let sketch = pass(&krylov.basis(), values, parts);
        krylov.step(&sketch).unwrap();
    }
    krylov
}

fn exact(values: &[f64], keep: Keep, standardize: bool) -> Pca {
    let mut moments = Moments::new();
    moments.update(&rows(values), false).unwrap();
    Pca::fit(&moments, keep, standardize, None).unwrap()
}

fn assert_ratios(ours: &Pca, exact: &Pca, tolerance: f64) {
    let pairs = ours.explained_variance_ratio().into_iter().zip(exact.explained_variance_ratio());
    for (i, (ours, exact)) in pairs.enumerate() {
        assert!((ours / exact - 1.0).abs() < tolerance, "component {i}: {ours}, exact {exact}");
    }
}

/// Largest distance of a component of `a` to the span of those of `b`: the sine of the subspace angle.
fn sine(a: &Pca, b: &Pca) -> f64 {
    let (a, b) = (a.components(), b.components());
    let left = a - &a.dot(&b.t()).dot(b);
    left.rows().into_iter().map(|row| row.dot(&row).sqrt()).fold(0.0, f64::max)
}

#[test]
fn two_passes_reach_the_ratios_of_decaying_spectra() {
    let values = sample();
    for standardize in [false, true] {
        let keep = Keep::Components(K);
        let pca = krylov(&values, K + 10, 2, 1, standardize).finish(keep).unwrap();
        assert_ratios(&pca, &exact(&values, keep, standardize), RATIO);
        assert_eq!(pca.solver(), Solver::Randomized);
    }
}

#[test]
fn further_passes_reach_the_exact_components_and_the_residual_says_so() {
    let values = sample();
    for standardize in [false, true] {
        let keep = Keep::Components(K);
        let exact = exact(&values, keep, standardize);
        let (two, four) = (krylov(&values, K + 4, 2, 1, standardize), krylov(&values, K + 4, 4, 1, standardize));
        assert!(four.residual(K).unwrap() < two.residual(K).unwrap());
        assert!(four.residual(K).unwrap().unwrap() < 1e-6);
        let pca = four.finish(keep).unwrap();
        assert_ratios(&pca, &exact, 1e-9);
        assert!(sine(&pca, &exact) < 1e-6, "{}", sine(&pca, &exact));
        assert!((pca.components() - exact.components()).iter().all(|difference| difference.abs() < 1e-6));
        assert!((pca.noise_variance() / exact.noise_variance() - 1.0).abs() < 1e-6);
        assert_eq!(pca.scale().is_some(), standardize);
    }
}

#[test]
fn partitions_change_nothing_but_rounding() {
    let values = sample();
    let fit = |parts| krylov(&values, K + 10, 3, parts, true).finish(Keep::Components(K)).unwrap();
    let (one, many) = (fit(1), fit(60));
    assert!((one.components() - many.components()).iter().all(|difference| difference.abs() < 1e-9));
}

#[test]
fn rows_of_a_low_rank_are_exhausted_and_exact() {
    let values: Vec<f64> = sample()[..5 * D].to_vec();
    let krylov = krylov(&values, 20, 2, 1, false);
    assert!(krylov.exhausted());
    let pca = krylov.finish(Keep::Components(9)).unwrap();
    assert_eq!(pca.rank(), 4);
    assert_ratios(&exact(&values, Keep::Components(4), false), &pca, 1e-9);
    let all = Keep::Variance(1.0);
    assert_eq!(krylov.finish(all).unwrap().components().nrows(), 4);
}

#[test]
fn constant_rows_have_rank_0() {
    let values = vec![0.1; 6 * D];
    let krylov = krylov(&values, 3, 1, 2, true);
    assert!(krylov.exhausted());
    let pca = krylov.finish(Keep::Components(2)).unwrap();
    assert_eq!((pca.rank(), pca.explained_variance_ratio()), (0, vec![0.0; 2]));
}

#[test]
fn variance_out_of_reach_says_what_to_raise() {
    let values = sample();
    let krylov = krylov(&values, 3, 2, 1, false);
    let error = krylov.finish(Keep::Variance(0.999)).unwrap_err().to_string();
    assert!(error.starts_with("PCA: 3 components reach 0."), "{error}");
    assert!(error.ends_with("of the variance, not 0.999: raise maxK"), "{error}");
    let enough = krylov.finish(Keep::Variance(0.3)).unwrap();
    assert_eq!(enough.components().nrows(), exact(&values, Keep::Variance(0.3), false).components().nrows());
    let error = krylov.finish(Keep::Components(4)).unwrap_err().to_string();
    assert_eq!(error, "PCA: the randomized solver found 3 components, not 4: start with a larger width");
}

#[test]
fn sketches_of_another_pass_or_of_other_rows_are_refused() {
    let values = sample();
    let mut krylov = Krylov::new(D, 4, false, 1).unwrap();
    let first = krylov.basis();
    assert!(krylov.finish(Keep::Components(1)).unwrap_err().to_string().contains("at least two passes"));
    assert!(matches!(krylov.step(&Sketch::new(&first)), Err(Error::NotEnoughSamples { needed: 1, found: 0 })));
    krylov.step(&pass(&first, &values, 1)).unwrap();
    let error = krylov.step(&pass(&first, &values, 1)).unwrap_err().to_string();
    let sketch = |pass| format!("of 300 rows of 700 features in 4 directions of pass {pass}");
    assert_eq!(error, format!("expected a sketch {}, got one {}", sketch(1), sketch(0)));
    let mut sketch = Sketch::new(&krylov.basis());
    let error = sketch.merge(&Sketch::new(&first)).unwrap_err().to_string();
    assert_eq!(error, "expected the basis of pass 1, got one of pass 0");
    assert!(sketch.update(&first, &rows(&values), false).is_err());
    assert!(krylov.step(&pass(&krylov.basis(), &values[..2 * D], 1)).is_err());
    assert!(Krylov::new(D, D + 1, false, 1).is_err());
}

#[test]
fn saved_sketches_and_bases_come_back_and_damage_is_named() {
    let krylov = Krylov::new(D, 4, false, 1).unwrap();
    let bytes = krylov.basis().to_bytes();
    let error = Basis::from_bytes(&bytes[..bytes.len() - 8]).unwrap_err().to_string();
    assert_eq!(error, "cannot read basis: it ends 8 bytes too early");
    let sketch = pass(&krylov.basis(), &sample(), 1);
    let bytes = sketch.to_bytes().unwrap();
    assert_eq!(Sketch::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
    let error = Sketch::from_bytes(&bytes[..bytes.len() - 8]).unwrap_err().to_string();
    assert_eq!(error, "cannot read sketch: it ends 8 bytes too early");
}
