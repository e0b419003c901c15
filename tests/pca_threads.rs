//! The threads of a fit end with it. Alone in its process, whose threads it counts.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // tests

use sparkcider::pca::{Keep, Moments, Pca};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn fits_leave_no_threads() {
    let rows: Vec<[f64; 3]> = (0..40_u32).map(|i| [i, i * i % 7, i * 3 % 5].map(f64::from)).collect();
    let mut moments = Moments::new();
    moments.update(&rows.iter().map(|row| Some(&row[..])).collect::<Vec<_>>(), false).unwrap();
    let before = threads();
    let mut left_over = 0;
    for _ in 0..50 {
        Pca::fit(&moments, Keep::Components(2), false, None).unwrap();
        left_over += usize::from(threads() > before);
    }
    // The kernel may take a moment to clear away a thread that was joined; threads that are not joined outlive nearly
    // every fit.
    assert!(left_over < 10, "threads were left after {left_over} of 50 fits");
    let mut tries = 0;
    while threads() > before && tries < 1_000 {
        std::thread::yield_now();
        tries += 1;
    }
    assert_eq!(threads(), before);
}
