//! The two passes over the pixels, with the exact i32 sums of Pillow's C code in SIMD.
//!
//! They are plain loops over arrays of fixed size, which the compiler vectorises: with AVX-512 or AVX2 where the CPU has
//! them, else for the build's baseline (NEON on ARM). Sums of i32 have no rounding, so all give the same bits.

use super::taps::{PRECISION, Taps};

/// Channels of a pixel.
pub(super) const RGB: usize = 3;

/// Rows that the horizontal pass works on at once: with their pixels padded to 4 channels, two AVX2 registers.
const ROWS: usize = 4;

/// One pixel of [`ROWS`] rows; the fourth channel means nothing.
pub(super) type Column = [[i32; 4]; ROWS];

/// Bytes of a row that the vertical pass works on at once: four AVX2 registers of sums.
const BLOCK: usize = 32;

/// A sum starts at a half, so that cutting the bits behind the point off rounds.
const HALF: i32 = 1 << (PRECISION - 1);

#[inline(always)]
fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Compiles a pass for AVX-512, for AVX2 and for the baseline, and calls the best that the CPU has.
macro_rules! dispatch {
    ($(#[$doc:meta])* fn $name:ident = $pass:ident($($argument:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(super) fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
                fn avx512($($argument: $type),*) {
                    $pass($($argument),*);
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) {
                    $pass($($argument),*);
                }
                if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                    // SAFETY: all that the function asks of the CPU is the three features (avx512bw includes avx512f).
                    return unsafe { avx512($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: all that the function asks of the CPU is AVX2.
                    return unsafe { avx2($($argument),*) };
                }
            }
            $pass($($argument),*);
        }
    };
}

dispatch! {
    /// Scales rows of `width` pixels to rows of `taps.len()` pixels.
    fn horizontal = horizontal_pass(rows: &[u8], width: usize, taps: &Taps, columns: &mut Vec<Column>, out: &mut [u8])
}

dispatch! {
    /// One output row from `weights.len()` rows that lie one after the other.
    fn vertical = vertical_pass(rows: &[u8], weights: &[i32], out: &mut [u8])
}

#[inline(always)]
fn horizontal_pass(rows: &[u8], width: usize, taps: &Taps, columns: &mut Vec<Column>, out: &mut [u8]) {
    columns.resize(width, [[0; 4]; ROWS]);
    let groups = rows.chunks(ROWS * width * RGB).zip(out.chunks_mut(ROWS * taps.len() * RGB));
    for (rows, out) in groups {
        for (r, row) in rows.chunks_exact(width * RGB).enumerate() {
            interleave(row, r, columns);
        }
        match taps.count {
            2 => scale_columns::<2>(columns, taps, out),
            4 => scale_columns::<4>(columns, taps, out),
            6 => scale_columns::<6>(columns, taps, out),
            _ => scale_columns::<0>(columns, taps, out),
        }
    }
}

/// Writes a row of RGB as row `r` of the columns.
#[inline(always)]
fn interleave(row: &[u8], r: usize, columns: &mut [Column]) {
    for (x, column) in columns.iter_mut().enumerate() {
        // four bytes are one load; the fourth belongs to the next pixel, and its sum is thrown away
        column[r] = match row[x * RGB..] {
            [red, green, blue, next, ..] => [red, green, blue, next].map(i32::from),
            [red, green, blue] => [red, green, blue, 0].map(i32::from),
            _ => [0; 4],
        };
    }
}

/// `COUNT` is the number of taps where the compiler shall know it, else 0.
#[inline(always)]
fn scale_columns<const COUNT: usize>(columns: &[Column], taps: &Taps, out: &mut [u8]) {
    let width = taps.len();
    for (x, (start, weights)) in taps.iter().enumerate() {
        let count = if COUNT == 0 { weights.len() } else { COUNT };
        let mut sums = [HALF; 4 * ROWS];
        for (column, weight) in columns[start..start + count].iter().zip(&weights[..count]) {
            for (sum, value) in sums.iter_mut().zip(column.as_flattened()) {
                *sum += value * weight;
            }
        }
        let levels = sums.map(level);
        for (row, pixel) in out.chunks_exact_mut(width * RGB).zip(levels.chunks_exact(4)) {
            row[x * RGB..][..RGB].copy_from_slice(&pixel[..RGB]);
        }
    }
}

#[inline(always)]
fn vertical_pass(rows: &[u8], weights: &[i32], out: &mut [u8]) {
    let row_len = out.len();
    let mut blocks = out.chunks_exact_mut(BLOCK);
    let mut at = 0;
    for block in &mut blocks {
        vertical_block::<BLOCK>(rows, row_len, at, weights, block);
        at += BLOCK;
    }
    for level in blocks.into_remainder() {
        vertical_block::<1>(rows, row_len, at, weights, std::slice::from_mut(level));
        at += 1;
    }
}

#[inline(always)]
fn vertical_block<const N: usize>(rows: &[u8], row_len: usize, at: usize, weights: &[i32], out: &mut [u8]) {
    let mut sums = [HALF; N];
    for (row, weight) in weights.iter().enumerate() {
        let values = &rows[row * row_len + at..][..N];
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += i32::from(*value) * weight;
        }
    }
    out.copy_from_slice(&sums.map(level));
}
