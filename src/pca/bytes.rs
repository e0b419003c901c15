//! Saved state: a magic word, a version, then little-endian numbers.

use super::limits::MAX_FEATURES;
use crate::{Error, Result};

/// Rows that a count may state: up to here it is exact as a divisor in f64.
pub(crate) const MAX_COUNT: u64 = 1 << 53;

/// Starts saved state.
pub(crate) fn header(magic: [u8; 4], version: u32) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(version.to_le_bytes());
    bytes
}

/// Adds counts.
pub(crate) fn put_counts(bytes: &mut Vec<u8>, counts: &[u64]) {
    bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
}

/// Adds numbers.
pub(crate) fn put_numbers(bytes: &mut Vec<u8>, numbers: &[f64]) {
    bytes.reserve(8 * numbers.len());
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

/// Reads saved state back; whatever does not fit is [`Error::Corrupt`].
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks magic word and version.
    pub(crate) fn open(what: &'static str, magic: [u8; 4], version: u32, bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Self { what, rest: bytes };
        if reader.take(4)? != magic {
            return Err(reader.corrupt(format!("it does not start with \"{}\"", magic.escape_ascii())));
        }
        let found = u32::from_le_bytes(reader.array()?);
        if found != version {
            return Err(reader.corrupt(format!("it has version {found}, this sparkcider reads version {version}")));
        }
        Ok(reader)
    }

    /// The error of this reader.
    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> Error {
        Error::Corrupt { what: self.what, reason: reason.into() }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(n) else {
            return Err(self.corrupt(format!("it ends {} bytes too early", n - self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One count, of rows or passes.
    pub(crate) fn count(&mut self) -> Result<u64> {
        let count = u64::from_le_bytes(self.array()?);
        if count > MAX_COUNT {
            return Err(self.corrupt(format!("{count} is over the limit of {MAX_COUNT} rows")));
        }
        Ok(count)
    }

    /// One count that is a size in memory.
    pub(crate) fn size(&mut self) -> Result<usize> {
        let count = self.count()?;
        usize::try_from(count).map_err(|_| self.corrupt(format!("{count} is not a size")))
    }

    /// D: the number of features.
    pub(crate) fn n_features(&mut self) -> Result<usize> {
        let n_features = self.size()?;
        if (1..=MAX_FEATURES).contains(&n_features) {
            return Ok(n_features);
        }
        Err(self.corrupt(format!("it has {n_features} features, expected 1 to {MAX_FEATURES}")))
    }

    /// `n` finite numbers of 8 bytes.
    pub(crate) fn numbers(&mut self, n: usize) -> Result<Vec<f64>> {
        let bytes = self.take(self.bytes_of(n, 8)?)?;
        let (numbers, _) = bytes.as_chunks::<8>();
        self.finite(numbers.iter().map(|number| f64::from_le_bytes(*number)).collect(), f64::is_finite)
    }

    /// `n` finite numbers of 4 bytes.
    pub(crate) fn short_numbers(&mut self, n: usize) -> Result<Vec<f32>> {
        let bytes = self.take(self.bytes_of(n, 4)?)?;
        let (numbers, _) = bytes.as_chunks::<4>();
        self.finite(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect(), f32::is_finite)
    }

    fn bytes_of(&self, n: usize, width: usize) -> Result<usize> {
        n.checked_mul(width).ok_or_else(|| self.corrupt(format!("{n} is not a size")))
    }

    /// `n` finite numbers of 8 bytes, none below 0: variances, deviations.
    pub(crate) fn positive_numbers(&mut self, n: usize) -> Result<Vec<f64>> {
        let numbers = self.numbers(n)?;
        match numbers.iter().position(|&number| number < 0.0) {
            None => Ok(numbers),
            Some(_) => Err(self.corrupt("it holds a negative variance or deviation")),
        }
    }

    fn finite<T: Copy>(&self, numbers: Vec<T>, is_finite: impl Fn(T) -> bool) -> Result<Vec<T>> {
        match numbers.iter().position(|&number| !is_finite(number)) {
            None => Ok(numbers),
            Some(_) => Err(self.corrupt("it holds a number that is not finite")),
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.corrupt(format!("{left} bytes are left over"))),
        }
    }
}
