//! Properties of the PCA's state over generated inputs.
#![allow(clippy::unwrap_used)] // tests: shared functions

use proptest::prelude::*;
use sparkcider::pca::{Basis, Keep, Krylov, Moments, Pca, Sketch};

/// Of a mean or scatter, relative to the largest value: sums of a few hundred numbers in f64 in another order.
const ROUNDING: f64 = 1e-11;

/// Rows (N, D) of values of any usual size.
fn rows() -> impl Strategy<Value = Vec<Vec<f64>>> {
    let value = -1e3..1e3;
    (1..8_usize).prop_flat_map(move |d| prop::collection::vec(prop::collection::vec(value.clone(), d), 2..60))
}

fn moments(rows: &[Vec<f64>]) -> Moments {
    let mut moments = Moments::new();
    moments.update(&rows.iter().map(|row| Some(&row[..])).collect::<Vec<_>>(), false).unwrap();
    moments
}

fn sketch(rows: &[Vec<f64>]) -> (Basis, Sketch) {
    let basis = Krylov::new(rows[0].len(), 1, false, 7).unwrap().basis();
    let mut sketch = Sketch::new(&basis);
    sketch.update(&basis, &rows.iter().map(|row| Some(&row[..])).collect::<Vec<_>>(), false).unwrap();
    (basis, sketch)
}

/// The saved state of every kind, made from the same rows.
fn saved(rows: &[Vec<f64>]) -> [Vec<u8>; 4] {
    let moments = moments(rows);
    let pca = Pca::fit(&moments, Keep::Components(1), true, None).unwrap();
    let (basis, sketch) = sketch(rows);
    [moments.to_bytes().unwrap(), pca.to_bytes(), basis.to_bytes(), sketch.to_bytes().unwrap()]
}

/// Reads state of each kind from `bytes` and uses what was read.
fn read(bytes: &[u8]) {
    if let Ok(mut moments) = Moments::from_bytes(bytes) {
        let row = vec![1.0; moments.n_features().max(1)];
        let _ = moments.update(&[Some(&row[..])], false);
        let _ = moments.scatter();
        let _ = Pca::fit(&moments, Keep::Variance(0.5), true, None);
    }
    if let Ok(pca) = Pca::from_bytes(bytes) {
        let row = vec![1.0_f64; pca.mean().len()];
        let projection = sparkcider::pca::Projection::new(&pca, true, true);
        let _ = projection.project(&[Some(&row[..])], false);
        let _ = projection.reconstruction_error(&[Some(&row[..])], false);
        let _ = (pca.singular_values(), pca.explained_variance_ratio());
    }
    if let Ok(basis) = Basis::from_bytes(bytes) {
        let row = vec![1.0_f64; basis.n_features()];
        let _ = Sketch::new(&basis).update(&basis, &[Some(&row[..])], false);
    }
    if let Ok(sketch) = Sketch::from_bytes(bytes) {
        let _ = (sketch.variance(), sketch.mean().len());
        let _ = Krylov::new(sketch.mean().len(), 1, true, 0).unwrap().step(&sketch);
    }
}

proptest! {
    #[test]
    fn moments_of_parts_merged_in_any_order_are_those_of_the_whole(rows in rows(), cut in 0.0..1.0_f64, turned: bool) {
        let cut = (rows.len() as f64 * cut) as usize;
        let (mut first, mut second) = (moments(&rows[..cut]), moments(&rows[cut..]));
        if turned {
            std::mem::swap(&mut first, &mut second);
        }
        first.merge(&second).unwrap();
        let whole = moments(&rows);
        prop_assert_eq!(first.n_samples(), whole.n_samples());
        let (found, expected) = (first.scatter().unwrap(), whole.scatter().unwrap());
        let scale = expected.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
        prop_assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= ROUNDING * scale));
        prop_assert!(first.mean().iter().zip(whole.mean()).all(|(a, b)| (a - b).abs() <= ROUNDING * 1e3));
    }

    #[test]
    fn invalid_rows_change_nothing_but_their_count(rows in rows(), at in 0.0..1.0_f64) {
        let at = (rows.len() as f64 * at) as usize;
        let (nan, short) = (vec![f64::NAN; rows[0].len()], vec![0.0; rows[0].len() + 1]);
        let mut mixed: Vec<Option<&[f64]>> = rows.iter().map(|row| Some(&row[..])).collect();
        mixed.splice(at.max(1)..at.max(1), [None, Some(&nan[..]), Some(&short[..])]);
        let mut found = Moments::new();
        prop_assert_eq!(found.update(&mixed, true).unwrap(), rows.len());
        prop_assert_eq!(found.n_invalid(), 3);
        prop_assert_eq!(found.scatter().unwrap(), moments(&rows).scatter().unwrap());
    }

    #[test]
    fn saved_state_comes_back_byte_for_byte(rows in rows()) {
        let [moments, pca, basis, sketch] = saved(&rows);
        prop_assert_eq!(Moments::from_bytes(&moments).unwrap().to_bytes().unwrap(), moments);
        prop_assert_eq!(Pca::from_bytes(&pca).unwrap().to_bytes(), pca);
        prop_assert_eq!(Basis::from_bytes(&basis).unwrap().to_bytes(), basis);
        prop_assert_eq!(Sketch::from_bytes(&sketch).unwrap().to_bytes().unwrap(), sketch);
    }

    #[test]
    fn damaged_state_never_panics(
        rows in rows(), kind in 0..4_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..9),
        cut in any::<Option<prop::sample::Index>>(), counts: bool,
    ) {
        let mut bytes = saved(&rows)[kind].clone();
        // half of the damage hits the counts at the start, where it hurts most
        let reach = if counts { bytes.len().min(56) } else { bytes.len() };
        for (at, value) in changes {
            bytes[at.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read(&bytes);
    }
}

/// State of the magic word `magic` with these counts and nothing behind them.
fn crafted(magic: [u8; 4], counts: &[u64]) -> Vec<u8> {
    let counts = counts.iter().flat_map(|count| count.to_le_bytes());
    magic.into_iter().chain(1_u32.to_le_bytes()).chain(counts).collect()
}

#[test]
fn state_without_features_or_of_impossible_sizes_is_refused() {
    let huge = 1 << 60;
    for counts in [[0, 0, 5, 0], [1, 0, 5, 0], [2, 0, 5, 0], [0, huge, 0, 0], [2, huge, 1, 0], [0, 3, huge, 0]] {
        assert!(Moments::from_bytes(&crafted(*b"SCMO", &counts)).is_err(), "{counts:?}");
    }
    for counts in
        [[0, 1, 5, 0, 0, 0], [4, 0, 5, 0, 0, 0], [1, 2, 5, 0, 0, 0], [4, huge, 5, 0, 0, 0], [huge, 1, 5, 0, 0, 0]]
    {
        let bytes = [crafted(*b"SCPC", &counts), vec![0; 64]].concat();
        assert!(Pca::from_bytes(&bytes).is_err(), "{counts:?}");
    }
    for counts in [[0, 0, 0], [0, huge, 0], [0, 2, huge]] {
        assert!(Basis::from_bytes(&crafted(*b"SCBA", &counts)).is_err(), "{counts:?}");
    }
    assert!(Sketch::from_bytes(&crafted(*b"SCSK", &[0, 5, 0, 0, 0])).is_err());
    // a few bytes that would ask for gigabytes
    assert!(Basis::from_bytes(&crafted(*b"SCBA", &[0, 1 << 28, 0])).is_err());
    assert!(Moments::from_bytes(&crafted(*b"SCMO", &[0, 1 << 28, 0, 0])).is_err());
    // more rows than are kept as rows
    assert!(Moments::from_bytes(&[crafted(*b"SCMO", &[1, 3, 2, 0]), vec![0; 48]].concat()).is_err());
    assert!(Basis::empty(0).is_err() && Basis::empty(1 << 40).is_err());
    assert!(Krylov::new(1 << 40, 1, false, 0).is_err() && Krylov::new(1 << 20, 1 << 20, false, 0).is_err());
}

#[test]
fn a_sketch_of_other_features_is_refused() {
    let mut krylov = Krylov::new(3, 1, false, 0).unwrap();
    let (_, other) = sketch(&[vec![1.0, 2.0], vec![2.0, 1.0]]);
    let error = krylov.step(&other).unwrap_err().to_string();
    assert!(error.contains("of 3 features") && error.contains("of 2 features"), "{error}");
}

#[test]
fn more_components_than_fit_into_memory_are_refused_by_name() {
    let wide = moments(&[vec![0.0; 1 << 16], vec![1.0; 1 << 16]]);
    let error = Pca::fit(&wide, Keep::Components(1 << 16), false, None).unwrap_err().to_string();
    assert_eq!(error, "k must be at most 4096 for 65536 features, got 65536");
    let error = Krylov::new(1 << 28, 2, false, 0).unwrap_err().to_string();
    assert_eq!(error, "width must be at most 1 for 268435456 features, got 2");
}

#[test]
fn counts_of_rows_do_not_wrap_around() {
    let rows = [vec![1.0], vec![2.0]];
    let with = |mut bytes: Vec<u8>, place: usize| {
        bytes[8 + 8 * place..16 + 8 * place].copy_from_slice(&(1_u64 << 53).to_le_bytes());
        bytes
    };
    for place in [2, 3] {
        let mut moments = Moments::from_bytes(&with(moments(&rows).to_bytes().unwrap(), place)).unwrap();
        assert!(matches!(moments.merge(&moments.clone()), Err(sparkcider::Error::Pca { .. })), "{place}");
    }
    for place in [1, 2] {
        let mut sketch = Sketch::from_bytes(&with(sketch(&rows).1.to_bytes().unwrap(), place)).unwrap();
        assert!(matches!(sketch.merge(&sketch.clone()), Err(sparkcider::Error::Pca { .. })), "{place}");
    }
}
