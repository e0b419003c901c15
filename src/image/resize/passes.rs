//! The two passes over the pixels.

#![allow(unsafe_code)] // calls of functions for the CPU that was detected

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{LANES, Lanes, Portable, rounded};
use super::taps::Taps;

/// Channels of a pixel.
pub(super) const RGB: usize = 3;

/// Rows that the horizontal pass works on at once.
const ROWS: usize = LANES / 4;

/// One pixel of [`ROWS`] rows; the fourth channel means nothing.
pub(super) type Column = [u8; LANES];

/// Compiles a pass for each kind of CPU and calls that of this CPU.
macro_rules! dispatch {
    ($(#[$doc:meta])* fn $name:ident = $pass:ident($($argument:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(super) fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn avx512(cpu: Avx512, $($argument: $type),*) {
                    $pass(cpu, $($argument),*);
                }
                #[target_feature(enable = "avx2")]
                fn avx2(cpu: Avx2, $($argument: $type),*) {
                    $pass(cpu, $($argument),*);
                }
                if let Some(cpu) = Avx512::detect() {
                    // SAFETY: the function asks for nothing but AVX-512 F, which `cpu` proves.
                    return unsafe { avx512(cpu, $($argument),*) };
                }
                if let Some(cpu) = Avx2::detect() {
                    // SAFETY: the function asks for nothing but AVX2, which `cpu` proves.
                    return unsafe { avx2(cpu, $($argument),*) };
                }
            }
            $pass(Portable, $($argument),*);
        }
    };
}

dispatch! {
    /// Scales rows of `width` pixels to rows of `taps.len()` pixels.
    fn horizontal = horizontal_pass(rows: &[u8], width: usize, taps: &Taps, columns: &mut Vec<Column>, out: &mut [u8])
}

dispatch! {
    /// One output row from `weights.len()` rows that are one after the other.
    fn vertical = vertical_pass(rows: &[u8], weights: &[i32], out: &mut [u8])
}

#[inline(always)]
fn horizontal_pass(cpu: impl Lanes, rows: &[u8], width: usize, taps: &Taps, columns: &mut Vec<Column>, out: &mut [u8]) {
    let row_out = taps.len() * RGB;
    columns.resize(width, [0; LANES]);
    for (rows, out) in rows.chunks(ROWS * width * RGB).zip(out.chunks_mut(ROWS * row_out)) {
        interleave(rows, columns);
        for (x, (start, weights)) in taps.iter().enumerate() {
            let levels = cpu.weighted(columns[start..].iter().zip(weights));
            let starts = (x * RGB..out.len()).step_by(row_out);
            for (at, pixel) in starts.zip(levels.as_chunks::<4>().0) {
                out[at..at + RGB].copy_from_slice(&pixel[..RGB]);
            }
        }
    }
}

/// Up to [`ROWS`] rows of RGB to columns. Not inlined: compiled for AVX-512 it would gather, which is slower.
#[inline(never)]
fn interleave(rows: &[u8], columns: &mut [Column]) {
    let row_len = columns.len() * RGB;
    // an absent row repeats the last one; what becomes of it has no place in the output
    let last_row = rows.len() - row_len;
    let rows: [&[u8]; ROWS] = std::array::from_fn(|r| &rows[(r * row_len).min(last_row)..][..row_len]);
    let Some((last, columns)) = columns.split_last_mut() else { return };
    for (x, column) in columns.iter_mut().enumerate() {
        for (part, row) in column.as_chunks_mut::<4>().0.iter_mut().zip(rows) {
            // four bytes are one load and one store; the fourth belongs to the next pixel
            part.copy_from_slice(&row[x * RGB..][..4]);
        }
    }
    for (part, row) in last.as_chunks_mut::<4>().0.iter_mut().zip(rows) {
        part[..RGB].copy_from_slice(&row[row_len - RGB..]);
    }
}

#[inline(always)]
fn vertical_pass(cpu: impl Lanes, rows: &[u8], weights: &[i32], out: &mut [u8]) {
    let row_len = out.len();
    if row_len < LANES {
        return narrow(rows, weights, out);
    }
    for at in (0..row_len).step_by(LANES) {
        // the last block reaches back over the one before it, so that it is whole
        let at = at.min(row_len - LANES);
        let levels = cpu.weighted(rows[at..].chunks(row_len).filter_map(<[u8]>::first_chunk).zip(weights));
        out[at..at + LANES].copy_from_slice(&levels);
    }
}

/// The vertical pass of rows shorter than [`LANES`].
fn narrow(rows: &[u8], weights: &[i32], out: &mut [u8]) {
    let row_len = out.len();
    for (x, out) in out.iter_mut().enumerate() {
        let column = rows[x..].iter().step_by(row_len);
        *out = rounded(column.zip(weights).map(|(value, weight)| i32::from(*value) * weight).sum());
    }
}
