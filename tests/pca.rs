//! The PCA against scikit-learn's numbers (`tests/data/make_pca_fixtures.py`), and its own properties.
#![allow(clippy::unwrap_used, clippy::float_cmp)] // in the functions that tests share, too; exact zeros are meant

use std::collections::HashMap;

use sparkcider::Error;
use sparkcider::pca::{Keep, MAX_ROWS_KEPT, MAX_SCATTER_FEATURES, Moments, Pca, Projection, Real, Solver};

/// Both sides work in f64; what is left is the rounding of squared singular values.
const RELATIVE: f64 = 1e-9;

/// Variances below this share of the largest are compared as 0.
const ZERO: f64 = 1e-12;

struct Case {
    name: String,
    n_features: usize,
    k: usize,
    standardize: bool,
    arrays: HashMap<String, Vec<f64>>,
}

fn golden() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("data/pca.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "case" {
            let [n_features, k] = [3, 4].map(|i: usize| words[i].parse().unwrap());
            let (name, standardize) = (words[1].to_owned(), words[5] == "1");
            cases.push(Case { name, n_features, k, standardize, arrays: HashMap::new() });
        } else {
            let numbers = words[1..].iter().map(|word| word.parse().unwrap()).collect();
            cases.last_mut().unwrap().arrays.insert(words[0].to_owned(), numbers);
        }
    }
    cases
}

fn moments<T: Real>(values: &[T], n_features: usize) -> Moments {
    let mut moments = Moments::new();
    moments.update(&rows(values, n_features), false).unwrap();
    moments
}

fn rows<T>(values: &[T], n_features: usize) -> Vec<Option<&[T]>> {
    values.chunks(n_features).map(Some).collect()
}

/// Numbers between -0.5 and 0.5 from a linear congruential generator (Knuth's MMIX constants).
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

/// n rows of decaying variance around an offset.
fn sample(n: usize, n_features: usize) -> Vec<f64> {
    let scale = |i: usize| 0.9_f64.powi((i % n_features) as i32);
    noise(n * n_features, 7).iter().enumerate().map(|(i, x)| x * scale(i) + 3.0).collect()
}

fn assert_close(name: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance, "{name}[{i}]: {a}, expected {b}");
    }
}

fn difference(a: &Pca, b: &Pca) -> f64 {
    (a.components() - b.components()).iter().fold(0.0, |largest, x| x.abs().max(largest))
}

#[test]
fn every_number_is_scikit_learns() {
    for case in golden() {
        let values = &case.arrays["rows"];
        let moments = moments(values, case.n_features);
        let pca = Pca::fit(&moments, Keep::Components(case.k), case.standardize, None).unwrap();
        let largest = case.arrays["explained_variance"][0];
        let close = |name: &str, ours: &[f64], scale: f64| {
            assert_close(&format!("{} {name}", case.name), ours, &case.arrays[name], scale * RELATIVE);
        };
        close("mean", pca.mean(), case.arrays["mean"].iter().fold(0.0, |m, x| x.abs().max(m)));
        close("explained_variance", pca.explained_variance(), largest);
        close("explained_variance_ratio", &pca.explained_variance_ratio(), 1.0);
        close("singular_values", &pca.singular_values(), case.arrays["singular_values"][0]);
        close("noise_variance", &[pca.noise_variance()], largest);
        let in_rank = case.arrays["explained_variance"].iter().filter(|&v| *v > largest * ZERO).count();
        let found = in_rank * case.n_features;
        let components: Vec<f64> = pca.components().iter().copied().collect();
        // An offset of 1e6 leaves 10 digits to the rows themselves.
        let tolerance = if case.name == "large_offset" { 1e-7 } else { RELATIVE };
        assert_close(&case.name, &components[..found], &case.arrays["components"][..found], tolerance);
        let projected = Projection::new(&pca, true, false).project(&rows(values, case.n_features), false).unwrap();
        for (ours, theirs) in projected.values.chunks(case.k).zip(case.arrays["projected"].chunks(case.k)) {
            assert_close(&case.name, &ours[..in_rank], &theirs[..in_rank], tolerance * 100.0);
        }
    }
}

#[test]
fn variances_past_the_rank_are_exactly_0_and_components_orthonormal() {
    for (n, n_features, k) in [(9, 30, 30), (1, 4, 3), (5, 5, 5), (3, 2_000, 10)] {
        let moments = moments(&sample(n, n_features), n_features);
        let pca = Pca::fit(&moments, Keep::Components(k), false, None).unwrap();
        assert_eq!(pca.rank(), n - 1);
        assert!(pca.explained_variance()[n - 1..].iter().all(|&variance| variance == 0.0));
        let products = pca.components().dot(&pca.components().t());
        let off = (products - ndarray::Array2::<f64>::eye(k)).iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        assert!(off < 1e-12, "{n} x {n_features}: {off}");
    }
}

#[test]
fn batches_change_no_bit_and_partitions_nothing_but_rounding() {
    let (n, n_features) = (1_500, 40);
    let values = sample(n, n_features);
    let whole = moments(&values, n_features);
    let mut batched = Moments::new();
    for batch in values.chunks(7 * n_features) {
        batched.update(&rows(batch, n_features), false).unwrap();
    }
    assert_eq!(batched.to_bytes().unwrap(), whole.to_bytes().unwrap());
    let fit = |moments: &Moments| Pca::fit(moments, Keep::Components(10), true, None).unwrap();
    let expected = fit(&whole);
    for size in [1, 13, 600, 1_499] {
        let parts: Vec<Moments> = values.chunks(size * n_features).map(|part| moments(part, n_features)).collect();
        let mut merged = Moments::new();
        for part in parts.iter().rev() {
            merged.merge(&Moments::from_bytes(&part.to_bytes().unwrap()).unwrap()).unwrap();
        }
        assert_eq!(merged.n_samples(), n as u64);
        let pca = fit(&merged);
        assert!(difference(&pca, &expected) < 1e-9, "parts of {size}: {}", difference(&pca, &expected));
        assert_close("variance", pca.explained_variance(), expected.explained_variance(), 1e-12);
    }
}

#[test]
fn gram_and_covariance_agree_with_and_without_standardization() {
    let moments = moments(&sample(30, 90), 90);
    for standardize in [false, true] {
        let fit = |solver| Pca::fit(&moments, Keep::Components(40), standardize, Some(solver)).unwrap();
        let (gram, covariance) = (fit(Solver::Gram), fit(Solver::Covariance));
        assert!(difference(&gram, &covariance) < 1e-9, "{}", difference(&gram, &covariance));
        assert_close("variance", gram.explained_variance(), covariance.explained_variance(), 1e-12);
    }
}

#[test]
fn f32_rows_count_as_their_exact_f64() {
    let short: Vec<f32> = sample(700, 12).into_iter().map(|value| value as f32).collect();
    let long: Vec<f64> = short.iter().map(|&value| f64::from(value)).collect();
    let (short, long) = (moments(&short, 12), moments(&long, 12));
    assert_eq!(short.scatter().unwrap(), long.scatter().unwrap());
}

#[test]
fn a_constant_column_becomes_0_when_standardized() {
    let mut values = sample(800, 3);
    values.chunks_mut(3).for_each(|row| row[1] = 0.1);
    let mut parts = Moments::new();
    for part in values.chunks(300 * 3) {
        parts.merge(&moments(part, 3)).unwrap();
    }
    let pca = Pca::fit(&parts, Keep::Components(3), true, None).unwrap();
    assert_eq!(pca.scale().unwrap()[1], 0.0);
    assert_eq!(pca.rank(), 2);
    let projected = Projection::new(&pca, true, false).project(&[Some(&[3.0, 9.9, 3.0][..])], false).unwrap();
    let same = Projection::new(&pca, true, false).project(&[Some(&[3.0, 0.1, 3.0][..])], false).unwrap();
    assert_eq!(projected.values, same.values);
}

#[test]
fn constant_rows_and_one_row_have_ratios_of_0() {
    for values in [vec![0.1; 50 * 4], vec![1.0, 2.0, 3.0, 4.0]] {
        let moments = moments(&values, 4);
        for (keep, k) in [(Keep::Components(2), 2), (Keep::Variance(0.9), 1)] {
            let pca = Pca::fit(&moments, keep, false, None).unwrap();
            assert_eq!((pca.rank(), pca.explained_variance_ratio()), (0, vec![0.0; k]));
        }
    }
}

#[test]
fn variance_keeps_the_fewest_components_that_reach_it() {
    let moments = moments(&sample(500, 20), 20);
    let all = Pca::fit(&moments, Keep::Components(20), false, None).unwrap().explained_variance_ratio();
    for share in [0.01, 0.5, 0.9, 1.0] {
        let pca = Pca::fit(&moments, Keep::Variance(share), false, None).unwrap();
        let k = pca.components().nrows();
        assert!(all[..k].iter().sum::<f64>() >= share - 1e-12);
        assert!(all[..k - 1].iter().sum::<f64>() < share);
    }
}

#[test]
fn the_mean_is_projected_to_0_and_spark_does_not_centre() {
    let moments = moments(&sample(300, 8), 8);
    let pca = Pca::fit(&moments, Keep::Components(3), true, None).unwrap();
    let project = |center| Projection::new(&pca, center, false).project(&[Some(pca.mean())], false).unwrap().values;
    assert_eq!(project(true), [0.0; 3]);
    let scaled: ndarray::Array1<f64> = pca.mean().iter().zip(pca.scale().unwrap()).map(|(m, s)| m / s).collect();
    assert_close("not centred", &project(false), &pca.components().dot(&scaled).to_vec(), 1e-12);
}

#[test]
fn whitened_coordinates_have_unit_variance_and_come_back() {
    let values = sample(400, 6);
    let moments_of = moments(&values, 6);
    for (standardize, center) in [(false, true), (true, true), (true, false)] {
        let pca = Pca::fit(&moments_of, Keep::Components(6), standardize, None).unwrap();
        let projection = Projection::new(&pca, center, true);
        let projected = projection.project(&rows(&values, 6), false).unwrap();
        let scatter = moments(&projected.values, 6).scatter().unwrap() / 399.0;
        assert!((scatter - ndarray::Array2::<f64>::eye(6)).iter().all(|x| x.abs() < 1e-10));
        let errors = projection.reconstruction_error(&rows(&values, 6), false).unwrap();
        assert!(errors.iter().flatten().all(|&error| error < 1e-12));
        let (back, _) = projection.invert(&rows(&projected.values, 6), false).unwrap();
        assert_close("back", &back, &values, 1e-10);
    }
}

#[test]
fn reconstruction_error_is_the_distance_to_what_comes_back() {
    let values = sample(50, 6);
    let pca = Pca::fit(&moments(&values, 6), Keep::Components(2), false, None).unwrap();
    let projection = Projection::new(&pca, true, false);
    let projected = projection.project(&rows(&values, 6), false).unwrap();
    let (back, _) = projection.invert(&rows(&projected.values, 2), false).unwrap();
    let errors = projection.reconstruction_error(&rows(&values, 6), false).unwrap();
    for ((row, back), error) in values.chunks(6).zip(back.chunks(6)).zip(errors) {
        let distance = row.iter().zip(back).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!((distance - error.unwrap()).abs() < 1e-12);
    }
}

#[test]
fn what_all_components_hold_is_no_error_even_of_a_long_row() {
    let values = sample(60, 6);
    let long: Vec<f64> = values[..6].iter().map(|value| value * 1e6).collect();
    for standardize in [false, true] {
        let pca = Pca::fit(&moments(&values, 6), Keep::Components(6), standardize, None).unwrap();
        let projection = Projection::new(&pca, true, false);
        let error = projection.reconstruction_error(&[Some(&long[..]), None], false).unwrap();
        let norm = long.iter().map(|value| value * value).sum::<f64>().sqrt();
        // rounding of two products in f64: a difference of squares would leave about 1e-8 of the norm
        assert!(error[0].unwrap() < norm * 1e-13, "{} of {norm}", error[0].unwrap());
        assert_eq!(error[1], None);
    }
}

#[test]
fn faulty_rows_are_errors_that_name_them_or_are_left_out_and_counted() {
    let (good, nan, short) = ([1.0, 2.0], [1.0, f64::NAN], [1.0]);
    let rows = [Some(&good[..]), None, Some(&nan[..]), Some(&short[..])];
    for (index, message) in [
        (1, "row 1 is null or has a null inside"),
        (2, "row 1 has a NaN or an infinity in feature 1"),
        (3, "expected 2 features, got 1 in row 1"),
    ] {
        let mut moments = Moments::new();
        let error = moments.update(&[rows[0], rows[index]], false).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(moments.n_samples(), 0, "nothing of the batch is added");
    }
    let mut moments = Moments::new();
    assert_eq!(moments.update(&rows, true).unwrap(), 1);
    assert_eq!((moments.n_samples(), moments.n_invalid()), (1, 3));
    let pca = Pca::fit(&moments, Keep::Components(1), false, None).unwrap();
    let projection = Projection::new(&pca, true, false);
    assert_eq!(projection.project(&rows[..2], false).unwrap().valid, [true, false]);
    assert!(projection.project(&rows, false).is_err());
    assert_eq!(projection.project(&rows, true).unwrap().valid, [true, false, false, false]);
}

#[test]
fn options_out_of_range_are_named() {
    let three = moments(&sample(10, 3), 3);
    let fit = |keep, solver| Pca::fit(&three, keep, false, solver).unwrap_err().to_string();
    assert_eq!(fit(Keep::Components(4), None), "k must be from 1 to the number of features, 3, got 4");
    assert_eq!(fit(Keep::Variance(1.5), None), "variance must be over 0 and at most 1, got 1.5");
    assert_eq!(fit(Keep::Variance(f64::NAN), None), "variance must be over 0 and at most 1, got NaN");
    assert!(fit(Keep::Components(1), Some(Solver::Gram)).starts_with("solver must be covariance for more than"));
    let none = Pca::fit(&Moments::new(), Keep::Components(1), false, None).unwrap_err();
    assert!(matches!(none, Error::NotEnoughSamples { needed: 1, found: 0 }));
}

#[test]
fn products_that_overflow_are_an_error() {
    let large = moments(&[1e200, 1.0, -1e200, 2.0], 2);
    let error = Pca::fit(&large, Keep::Components(1), false, None).unwrap_err();
    let message = "PCA: the values are so large that their products overflow: divide all of them by one number";
    assert_eq!(error.to_string(), message);
    assert_eq!(large.to_bytes().unwrap_err().to_string(), message);
}

#[test]
fn products_that_underflow_are_an_error() {
    for scale in [1e-150, 1e-160, 1e-170, 1e-300] {
        let values: Vec<f64> = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0].iter().map(|value| value * scale).collect();
        let small = moments(&values, 2);
        for standardize in [false, true] {
            let error = Pca::fit(&small, Keep::Components(1), standardize, None).unwrap_err();
            let message =
                "PCA: the values are so small that their products underflow: multiply all of them by one number";
            assert_eq!(error.to_string(), message);
        }
    }
    let constant = moments(&[1e-140; 4], 2);
    assert_eq!(Pca::fit(&constant, Keep::Components(1), false, None).unwrap().rank(), 0);
}

#[test]
fn many_rows_too_wide_for_a_scatter_are_refused_before_they_are_kept() {
    let row = vec![1.0_f32; MAX_SCATTER_FEATURES + 1];
    let mut moments = Moments::new();
    let error = moments.update(&vec![Some(&row[..]); MAX_ROWS_KEPT + 1], false).unwrap_err();
    assert!(error.to_string().contains("16385 features is over the limit of 16384"), "{error}");
    assert_eq!(moments.n_samples(), 0);
}

#[test]
fn saved_state_comes_back_and_damage_is_named() {
    for (n, n_features) in [(5, 30), (700, 6), (0, 0)] {
        let moments = moments(&sample(n, n_features.max(1)), n_features.max(1));
        let bytes = moments.to_bytes().unwrap();
        let back = Moments::from_bytes(&bytes).unwrap();
        assert_eq!((back.to_bytes().unwrap(), back.n_samples()), (bytes.clone(), n as u64));
        let error = Moments::from_bytes(&bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(error.to_string(), "cannot read moments: it ends 1 bytes too early");
        let error = Moments::from_bytes(&[&bytes[..], &[0]].concat()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read moments: 1 bytes are left over");
    }
    let pca = Pca::fit(&moments(&sample(50, 4), 4), Keep::Components(2), true, None).unwrap();
    assert_eq!(Pca::from_bytes(&pca.to_bytes()).unwrap(), pca);
    for bytes in [&b"SCMO"[..], b"no model", &[]] {
        assert!(matches!(Pca::from_bytes(bytes), Err(Error::Corrupt { what: "PCA", .. })));
    }
    let mut newer = pca.to_bytes();
    newer[4] = 9;
    let error = Pca::from_bytes(&newer).unwrap_err();
    assert_eq!(error.to_string(), "cannot read PCA: it has version 9, this sparkcider reads version 1");
}
