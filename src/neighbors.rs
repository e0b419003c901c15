//! The nearest neighbours of every vector, exact, by the half of a product that is never whole in memory; and the copies among
//! fingerprints.
//!
//! Similarity is the inner product: the cosine, if vectors have norm 1. Ties go to the lower row, so that results depend neither on the
//! number of threads nor on the order in which they work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use crate::image::Fingerprint;
use crate::{Error, Result};

/// Vectors of a block: a product of two blocks is 1 MB, which stays in the cache of a core.
const BLOCK: usize = 512;

/// Similarities that are compared at a time before any of them is looked at.
const LANES: usize = 32;

/// Most bits in which copies may differ: then one of 16 bands of 16 bits is the same, which is how they are found.
pub const MOST_BITS: u32 = 15;

/// The signs that a mirror turns in a [`Fingerprint`]: those of odd horizontal frequencies.
const MIRRORED: u8 = 0b1010_1010;

/// (n, d) vectors row by row.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    values: &'a [f32],
    d: usize,
}

impl<'a> Vectors<'a> {
    /// Wraps (n, `d`) values.
    ///
    /// # Errors
    /// [`Error::Shape`] if `d` is 0 or does not divide their number, or there are 2^32 vectors or more.
    pub fn new(values: &'a [f32], d: usize) -> Result<Self> {
        if d == 0 || !values.len().is_multiple_of(d) || u32::try_from(values.len() / d).is_err() {
            return Err(Error::Shape {
                expected: format!("less than 2^32 vectors of {d} > 0 values"),
                found: format!("{} values", values.len()),
            });
        }
        Ok(Self { values, d })
    }

    fn len(&self) -> usize {
        self.values.len() / self.d
    }

    fn blocks(&self) -> usize {
        self.len().div_ceil(BLOCK)
    }

    fn block(&self, number: usize) -> MatRef<'a, f32> {
        let end = self.len().min((number + 1) * BLOCK);
        let rows = &self.values[number * BLOCK * self.d..end * self.d];
        MatRef::from_row_major_slice(rows, rows.len() / self.d, self.d)
    }
}

/// The k nearest of each of n vectors, nearest first, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbors {
    /// Neighbours of each vector: at most as many as were requested, and as there are.
    pub k: usize,
    /// (n, k): rows of the neighbours.
    pub rows: Vec<u32>,
    /// (n, k): their similarities.
    pub similarities: Vec<f32>,
}

/// The `k` nearest other vectors of each vector, with so many `threads`.
///
/// # Shapes
/// (n, d) to [`Neighbors`] of min(`k`, n - 1).
///
/// ```
/// use sparkcider::neighbors::{Vectors, neighbors};
///
/// let found = neighbors(Vectors::new(&[1.0, 0.0, 0.8, 0.6, 0.0, 1.0], 2)?, 1, 1);
/// assert_eq!(found.rows, [1, 0, 1]);
/// # Ok::<(), sparkcider::Error>(())
/// ```
#[must_use]
pub fn neighbors(vectors: Vectors<'_>, k: usize, threads: usize) -> Neighbors {
    let k = k.min(vectors.len().saturating_sub(1));
    let n_blocks = vectors.blocks();
    let best = blocks_of_best(vectors, k);
    let pairs = n_blocks * (n_blocks + 1) / 2;
    in_threads(pairs, threads, |number, product| {
        let (first, second) = pair(number, n_blocks);
        multiply(product, vectors.block(first), vectors.block(second));
        lock(&best[first]).offer_rows(product, second * BLOCK, (first == second).then_some(first * BLOCK));
        if first != second {
            lock(&best[second]).offer_columns(product, first * BLOCK);
        }
    });
    joined(best, k)
}

/// The `k` vectors that are nearest to each of the `queries`, with so many `threads`.
///
/// # Shapes
/// (n, d) and (m, d) to m rows of [`Neighbors`] of min(`k`, n).
///
/// # Errors
/// [`Error::Shape`] if the two have another number of values per row.
pub fn nearest(vectors: Vectors<'_>, queries: Vectors<'_>, k: usize, threads: usize) -> Result<Neighbors> {
    if vectors.d != queries.d {
        return Err(Error::Shape {
            expected: format!("queries of {} values", vectors.d),
            found: format!("{} values", queries.d),
        });
    }
    let k = k.min(vectors.len());
    let best = blocks_of_best(queries, k);
    in_threads(vectors.blocks() * queries.blocks(), threads, |number, product| {
        let (block, query) = (number / queries.blocks(), number % queries.blocks());
        multiply(product, queries.block(query), vectors.block(block));
        lock(&best[query]).offer_rows(product, block * BLOCK, None);
    });
    Ok(joined(best, k))
}

/// The first row that each row is a copy of: itself, unless an earlier such row has a fingerprint, as it is or mirrored, that differs
/// in at most `most_bits` of the 256 bits. No row is a copy of a copy only.
///
/// # Errors
/// [`Error::Option`] if `most_bits` is over [`MOST_BITS`].
///
/// ```
/// use sparkcider::neighbors::originals;
///
/// let (one, other) = ([0x0F; 32], [0xF1; 32]);
/// let mut near = one;
/// near[7] ^= 0b11;
/// assert_eq!(originals(&[one, other, near], 2)?, [0, 1, 0]);
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn originals(fingerprints: &[Fingerprint], most_bits: u32) -> Result<Vec<u32>> {
    if most_bits > MOST_BITS {
        return Err(Error::Option {
            name: "most_bits",
            expected: format!("at most {MOST_BITS}"),
            found: most_bits.to_string(),
        });
    }
    let mut found: Vec<u32> = Vec::with_capacity(fingerprints.len());
    let mut by_band: HashMap<(u8, [u8; 2]), Vec<u32>> = HashMap::new();
    for (row, fingerprint) in fingerprints.iter().enumerate() {
        let mirrored = fingerprint.map(|byte| byte ^ MIRRORED);
        let nearest = [fingerprint, &mirrored]
            .into_iter()
            .flat_map(|bits| bands(bits).filter_map(|band| by_band.get(&band)).flatten().map(move |&row| (bits, row)))
            .map(|(bits, row)| (differing(bits, &fingerprints[row as usize]), row))
            .min()
            .filter(|&(bits, _)| bits <= most_bits);
        found.push(nearest.map_or(row as u32, |(_, original)| original));
        if nearest.is_none() {
            for band in bands(fingerprint) {
                by_band.entry(band).or_default().push(row as u32);
            }
        }
    }
    Ok(found)
}

/// The 16 bands of 16 bits, with their numbers.
fn bands(fingerprint: &Fingerprint) -> impl Iterator<Item = (u8, [u8; 2])> {
    (0..).zip(fingerprint.chunks_exact(2)).map(|(number, bytes)| (number, [bytes[0], bytes[1]]))
}

fn differing(a: &Fingerprint, b: &Fingerprint) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// The k best of a block's rows so far, each row's sorted.
struct Best {
    k: usize,
    rows: Vec<u32>,
    similarities: Vec<f32>,
    /// What a similarity must reach to count, by row.
    least: Vec<f32>,
}

impl Best {
    fn new(n: usize, k: usize) -> Self {
        let least = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { k, rows: vec![u32::MAX; n * k], similarities: vec![f32::NEG_INFINITY; n * k], least: vec![least; n] }
    }

    /// Takes a product whose columns belong to these rows; its rows are vectors from number `start` on. `own` is the number of the
    /// first of these rows where a row must not be its own neighbour.
    #[allow(clippy::needless_bitwise_bool)] // without an early exit the loop is vectorised
    fn offer_rows(&mut self, product: &Mat<f32>, start: usize, own: Option<usize>) {
        for row in 0..product.ncols() {
            let similarities = product.col_as_slice(row);
            let itself = own.map(|first| first + row);
            for (number, chunk) in similarities.chunks(LANES).enumerate() {
                let least = self.least[row];
                if !chunk.iter().fold(false, |hit, &similarity| hit | (similarity >= least)) {
                    continue;
                }
                for (at, &similarity) in (start + number * LANES..).zip(chunk) {
                    if Some(at) != itself {
                        self.offer(row, similarity, at as u32);
                    }
                }
            }
        }
    }

    /// Takes a product whose rows belong to these rows; its columns are vectors from number `start` on.
    #[allow(clippy::needless_bitwise_bool)] // likewise
    fn offer_columns(&mut self, product: &Mat<f32>, start: usize) {
        for column in 0..product.ncols() {
            let similarities = product.col_as_slice(column);
            let at = (start + column) as u32;
            for (number, chunk) in similarities.chunks(LANES).enumerate() {
                let first = number * LANES;
                let pairs = chunk.iter().zip(&self.least[first..]);
                if pairs.fold(false, |hit, (similarity, least)| hit | (similarity >= least)) {
                    for (row, &similarity) in (first..).zip(chunk) {
                        self.offer(row, similarity, at);
                    }
                }
            }
        }
    }

    fn offer(&mut self, row: usize, similarity: f32, neighbor: u32) {
        if similarity < self.least[row] {
            return;
        }
        let kept = row * self.k..(row + 1) * self.k;
        let (rows, similarities) = (&mut self.rows[kept.clone()], &mut self.similarities[kept]);
        let is_behind = |at: &usize| (similarities[*at], neighbor) < (similarity, rows[*at]);
        let Some(place) = (0..self.k).find(is_behind) else { return };
        rows.copy_within(place..self.k - 1, place + 1);
        similarities.copy_within(place..self.k - 1, place + 1);
        (rows[place], similarities[place]) = (neighbor, similarity);
        self.least[row] = similarities[self.k - 1];
    }
}

fn blocks_of_best(vectors: Vectors<'_>, k: usize) -> Vec<Mutex<Best>> {
    (0..vectors.blocks()).map(|number| Mutex::new(Best::new(vectors.block(number).nrows(), k))).collect()
}

fn joined(blocks: Vec<Mutex<Best>>, k: usize) -> Neighbors {
    let mut all = Neighbors { k, rows: Vec::new(), similarities: Vec::new() };
    for block in blocks {
        let best = block.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.rows.extend(best.rows);
        all.similarities.extend(best.similarities);
    }
    all
}

/// A panic in a thread ends the others with it: `thread::scope` raises it again.
fn lock(best: &Mutex<Best>) -> std::sync::MutexGuard<'_, Best> {
    best.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `product` becomes (rows of `second`, rows of `first`), column by column: the similarities of a row of `first` are side by side.
fn multiply(product: &mut Mat<f32>, first: MatRef<'_, f32>, second: MatRef<'_, f32>) {
    product.resize_with(second.nrows(), first.nrows(), |_, _| 0.0);
    matmul(product, Accum::Replace, second, first.transpose(), 1.0, Par::Seq);
}

/// Pair `number` of the pairs (i, j), i <= j < n, in their order.
fn pair(mut number: usize, n: usize) -> (usize, usize) {
    let mut first = 0;
    while number >= n - first {
        number -= n - first;
        first += 1;
    }
    (first, first + number)
}

/// Does pieces of work in so many threads, each with a product of its own. The threads end with the call.
fn in_threads(pieces: usize, threads: usize, work: impl Fn(usize, &mut Mat<f32>) + Sync) {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut product = Mat::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= pieces {
                return;
            }
            work(number, &mut product);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.clamp(1, pieces.max(1)) {
            scope.spawn(run);
        }
        run();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of small whole numbers: products are exact, and many of them tie.
    fn vectors(n: usize, d: usize) -> Vec<f32> {
        (0..n * d).map(|at| ((at * 7919 + at / d * 104_729) % 5) as f32 - 2.0).collect()
    }

    fn by_hand(values: &[f32], queries: &[f32], d: usize, k: usize, other: bool) -> Neighbors {
        let mut all = Neighbors { k, rows: Vec::new(), similarities: Vec::new() };
        for (row, query) in queries.chunks(d).enumerate() {
            let product = |vector: &[f32]| vector.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
            let mut found: Vec<(f32, usize)> =
                values.chunks(d).map(product).zip(0..).filter(|(_, at)| !other || *at != row).collect();
            found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            all.rows.extend(found[..k].iter().map(|(_, at)| *at as u32));
            all.similarities.extend(found[..k].iter().map(|(similarity, _)| similarity));
        }
        all
    }

    #[test]
    fn neighbors_are_those_of_the_whole_product_whatever_the_threads() {
        for (n, d, k) in [(2, 1, 1), (511, 3, 4), (512, 8, 10), (1300, 5, 10)] {
            let values = vectors(n, d);
            let expected = by_hand(&values, &values, d, k, true);
            for threads in [1, 3] {
                assert_eq!(neighbors(Vectors::new(&values, d).unwrap(), k, threads), expected, "{n} x {d}, {threads}");
            }
        }
    }

    #[test]
    fn nearest_are_those_of_the_whole_product() {
        let (values, queries) = (vectors(1100, 6), vectors(530, 6));
        let found = nearest(Vectors::new(&values, 6).unwrap(), Vectors::new(&queries, 6).unwrap(), 7, 2).unwrap();
        assert_eq!(found, by_hand(&values, &queries, 6, 7, false));
        assert!(nearest(Vectors::new(&values, 6).unwrap(), Vectors::new(&values, 5).unwrap(), 7, 2).is_err());
    }

    #[test]
    fn there_are_no_more_neighbors_than_other_vectors() {
        for (n, k) in [(0, 0), (1, 0), (3, 2)] {
            let values = vectors(n, 2);
            let found = neighbors(Vectors::new(&values, 2).unwrap(), 10, 2);
            assert_eq!((found.k, found.rows.len()), (k, n * k));
        }
        assert!(Vectors::new(&[1.0], 0).is_err());
        assert!(Vectors::new(&[1.0; 3], 2).is_err());
    }

    #[test]
    fn copies_are_found_up_to_the_last_bit_and_mirrored_and_do_not_chain() {
        let original: Fingerprint = std::array::from_fn(|at| (at * 37 + 11) as u8);
        let flipped = |bits: std::ops::Range<usize>| {
            let mut copy = original;
            bits.for_each(|bit| copy[bit * 17 % 256 / 8] ^= 1 << (bit * 17 % 8));
            copy
        };
        let mirrored = flipped(0..3).map(|byte| byte ^ MIRRORED);
        let rows = [original, flipped(0..15), flipped(0..16), mirrored, flipped(0..30)];
        assert_eq!(originals(&rows, 15).unwrap(), [0, 0, 2, 0, 2]);
        assert_eq!(originals(&rows, 0).unwrap(), [0, 1, 2, 3, 4]);
        assert!(matches!(originals(&rows, 16), Err(Error::Option { .. })));
    }
}
