//! Any bytes as saved state of the PCA; what can be read is used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sparkcider::pca::{Basis, Moments, Projection, Sketch, Keep, Krylov, Pca};

/// Features of state that is used, not only read: an eigenproblem of more takes seconds.
const MOST: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut moments) = Moments::from_bytes(bytes) {
        if moments.n_features() <= MOST {
            let row = vec![1.0; moments.n_features().max(1)];
            let _ = (moments.update(&[Some(&row[..])], false), moments.scatter());
            let _ = Pca::fit(&moments, Keep::Variance(0.5), true, None);
        }
    }
    if let Ok(pca) = Pca::from_bytes(bytes) {
        let row = vec![1.0_f64; pca.mean().len()];
        let projection = Projection::new(&pca, true, true);
        let _ = (projection.project(&[Some(&row[..])], false), projection.reconstruction_error(&[Some(&row[..])], false));
    }
    if let Ok(basis) = Basis::from_bytes(bytes) {
        let row = vec![1.0_f64; basis.n_features()];
        let _ = Sketch::new(&basis).update(&basis, &[Some(&row[..])], false);
    }
    if let Ok(sketch) = Sketch::from_bytes(bytes) {
        if sketch.mean().len() <= MOST {
            if let Ok(mut krylov) = Krylov::new(sketch.mean().len(), 1, true, 0) {
                let _ = krylov.step(&sketch);
            }
        }
    }
});
