//! Components made unique: past the rank, and in sign.

use ndarray::{Array1, Array2};

/// Entries whose magnitudes differ by less than this count as equal, so that rounding decides nothing.
const TIE: f64 = 1e-6;

/// Completes orthonormal rows (m, D) to k: each further row is the unit vector that is farthest from the rows so far
/// (the first of equals), made orthogonal to them. It depends on what the rows span, not on the rows.
pub(crate) fn complete(components: &mut Array2<f64>, k: usize, n_features: usize) {
    let m = components.nrows();
    let mut all = Array2::zeros((k, n_features));
    all.slice_mut(ndarray::s![..m, ..]).assign(components);
    let mut left = Array1::ones(n_features); // squared distance of each unit vector
    for row in components.rows() {
        left -= &(&row * &row);
    }
    for next in m..k {
        let mut row = Array1::zeros(n_features);
        row[first_largest(&left)] = 1.0;
        let found = all.slice(ndarray::s![..next, ..]);
        for _ in 0..2 {
            // Twice is enough: W. Kahan, in B. N. Parlett, "The Symmetric Eigenvalue Problem", 1980, section 6-9.
            let shares = found.dot(&row);
            row -= &found.t().dot(&shares);
        }
        row /= row.dot(&row).sqrt();
        left -= &(&row * &row);
        all.row_mut(next).assign(&row);
    }
    *components = all;
}

/// Turns each row so that its entry of largest magnitude (the first of equals) is positive: scikit-learn's `svd_flip`
/// with `u_based_decision=False`.
pub(crate) fn fix_signs(components: &mut Array2<f64>) {
    for mut row in components.rows_mut() {
        if row[first_largest(&row.mapv(f64::abs))] < 0.0 {
            row.mapv_inplace(|value| -value);
        }
    }
}

fn first_largest(values: &Array1<f64>) -> usize {
    let largest = values.iter().copied().fold(0.0, f64::max);
    values.iter().position(|&value| value >= largest * (1.0 - TIE)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_entry_of_largest_magnitude_becomes_positive() {
        let mut rows = array![[0.6, -0.8], [-0.6, 0.8]];
        fix_signs(&mut rows);
        assert_eq!(rows, array![[-0.6, 0.8], [-0.6, 0.8]]);
    }

    #[test]
    fn of_equal_magnitudes_the_first_becomes_positive_whatever_the_rounding() {
        let mut rows = array![[-0.5, 0.5 + 1e-12], [0.5, -0.5 - 1e-12]];
        fix_signs(&mut rows);
        assert!(rows[(0, 0)] > 0.0 && rows[(1, 0)] > 0.0);
    }

    #[test]
    fn nothing_is_completed_to_the_unit_vectors() {
        let mut rows = Array2::zeros((0, 3));
        complete(&mut rows, 2, 3);
        assert_eq!(rows, array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
    }

    #[test]
    fn completion_depends_on_the_span_only() {
        let (c, s) = (0.3_f64.cos(), 0.3_f64.sin());
        let mut rows = array![[1.0, 0.0, 0.0, 0.0], [0.0, 0.6, 0.8, 0.0]];
        let mut turned = array![[c, s * 0.6, s * 0.8, 0.0], [-s, c * 0.6, c * 0.8, 0.0]];
        complete(&mut rows, 4, 4);
        complete(&mut turned, 4, 4);
        for (a, b) in rows.rows().into_iter().zip(turned.rows()).skip(2) {
            assert!((&a - &b).iter().all(|difference| difference.abs() < 1e-15));
        }
    }
}
