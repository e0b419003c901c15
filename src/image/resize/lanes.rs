//! The sum at the heart of both passes: 16 weighted sums of levels at once, exactly as Pillow's C code sums.
//!
//! Sums of i32 have no rounding, so every kind of CPU gives the same bits. The x86 kinds are written out, because the
//! compiler does not find their widening loads; on ARM it finds those of NEON by itself.

#![allow(unsafe_code)] // SIMD of the CPU that `detect` has found

use std::array;

use super::taps::PRECISION;

/// Levels that are summed at once: one AVX-512 register of i32, two of AVX2, four of NEON.
pub(super) const LANES: usize = 16;

/// A sum starts at a half, so that cutting the bits behind the point off rounds.
const HALF: i32 = 1 << (PRECISION - 1);

/// The level of a sum that started at [`HALF`].
#[inline(always)]
fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// The level of a sum of products.
pub(super) fn rounded(products: i32) -> u8 {
    level(HALF + products)
}

/// A kind of CPU.
pub(super) trait Lanes: Copy {
    /// The levels of the sums of `vectors`, each times its weight.
    fn weighted<'a>(self, vectors: impl Iterator<Item = (&'a [u8; LANES], &'a i32)>) -> [u8; LANES];
}

/// Any CPU.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    #[inline(always)]
    fn weighted<'a>(self, vectors: impl Iterator<Item = (&'a [u8; LANES], &'a i32)>) -> [u8; LANES] {
        let mut sums = [HALF; LANES];
        for (values, weight) in vectors {
            sums = array::from_fn(|lane| sums[lane].wrapping_add(i32::from(values[lane]).wrapping_mul(*weight)));
        }
        sums.map(level)
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports)] // twenty intrinsics
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::{HALF, LANES, Lanes};
    use crate::image::resize::taps::PRECISION;

    const SHIFT: i32 = PRECISION as i32;

    /// A CPU with AVX2; a value of it is the proof.
    #[derive(Clone, Copy)]
    pub(in crate::image::resize) struct Avx2(());

    impl Avx2 {
        pub(in crate::image::resize) fn detect() -> Option<Self> {
            is_x86_feature_detected!("avx2").then_some(Self(()))
        }
    }

    impl Lanes for Avx2 {
        #[inline(always)]
        fn weighted<'a>(self, vectors: impl Iterator<Item = (&'a [u8; LANES], &'a i32)>) -> [u8; LANES] {
            // SAFETY: `self` proves AVX2; the loads are of 16 bytes that are there, and need no alignment.
            unsafe {
                let (mut low, mut high) = (_mm256_set1_epi32(HALF), _mm256_set1_epi32(HALF));
                for (values, weight) in vectors {
                    let values = _mm_loadu_si128(values.as_ptr().cast());
                    let weight = _mm256_set1_epi32(*weight);
                    let upper = _mm_unpackhi_epi64(values, values);
                    low = _mm256_add_epi32(low, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(values), weight));
                    high = _mm256_add_epi32(high, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(upper), weight));
                }
                let words = _mm256_packs_epi32(_mm256_srai_epi32::<SHIFT>(low), _mm256_srai_epi32::<SHIFT>(high));
                // packing works in halves of a register: bring the four quarters back into order
                let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
                transmute(_mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words)))
            }
        }
    }

    /// A CPU with AVX-512; a value of it is the proof.
    #[derive(Clone, Copy)]
    pub(in crate::image::resize) struct Avx512(());

    impl Avx512 {
        pub(in crate::image::resize) fn detect() -> Option<Self> {
            is_x86_feature_detected!("avx512f").then_some(Self(()))
        }
    }

    impl Lanes for Avx512 {
        #[inline(always)]
        fn weighted<'a>(self, vectors: impl Iterator<Item = (&'a [u8; LANES], &'a i32)>) -> [u8; LANES] {
            // SAFETY: `self` proves AVX-512 F; the loads are of 16 bytes that are there, and need no alignment.
            unsafe {
                let mut sums = _mm512_set1_epi32(HALF);
                for (values, weight) in vectors {
                    let values = _mm512_cvtepu8_epi32(_mm_loadu_si128(values.as_ptr().cast()));
                    sums = _mm512_add_epi32(sums, _mm512_mullo_epi32(values, _mm512_set1_epi32(*weight)));
                }
                let levels = _mm512_max_epi32(_mm512_srai_epi32::<PRECISION>(sums), _mm512_setzero_si512());
                transmute(_mm512_cvtusepi32_epi8(levels))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors and weights with sums far outside 0..=255 on both sides.
    fn sums(cpu: impl Lanes) -> Vec<[u8; LANES]> {
        (1..40_i32)
            .map(|count| {
                let vectors: Vec<[u8; LANES]> =
                    (0..count).map(|row| array::from_fn(|lane| ((row * 71 + lane as i32 * 37) % 256) as u8)).collect();
                let weights: Vec<i32> = (0..count)
                    .map(|row| ((row * 7 + count) % 11 - 4) * (1 << PRECISION) / count * (count % 3 - 1) + row)
                    .collect();
                cpu.weighted(vectors.iter().zip(&weights))
            })
            .collect()
    }

    #[test]
    fn every_kind_of_cpu_sums_alike() {
        let expected = sums(Portable);
        assert!(expected.as_flattened().contains(&0) && expected.as_flattened().contains(&255));
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(cpu) = Avx2::detect() {
                assert_eq!(sums(cpu), expected);
            }
            if let Some(cpu) = Avx512::detect() {
                assert_eq!(sums(cpu), expected);
            }
        }
    }
}
