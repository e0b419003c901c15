//! What the user chooses about decoding.

use std::fmt;
use std::str::FromStr;

use super::limits::DecodeLimits;
use crate::{Error, parse};

/// How many of the pixels of a JPEG are decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decoding {
    /// All: [`decode`](super::decode).
    #[default]
    Exact,
    /// As many as the resize needs: [`decode_scaled`](super::decode_scaled).
    Scaled,
}

const DECODINGS: [(&str, Decoding); 2] = [("exact", Decoding::Exact), ("scaled", Decoding::Scaled)];

impl FromStr for Decoding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse::choice("decode", &DECODINGS, text)
    }
}

impl fmt::Display for Decoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&DECODINGS, self).unwrap_or_default())
    }
}

/// How bytes become pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Turn the image upright as its EXIF orientation says. Default: true.
    pub apply_exif: bool,
    /// What a file may cost. Default: [`MAX_PIXELS`](super::MAX_PIXELS) pixels.
    pub limits: DecodeLimits,
    /// Lay transparent pixels over this RGB colour. Default: `None`, alpha is dropped.
    pub background: Option<[u8; 3]>,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { apply_exif: true, limits: DecodeLimits::default(), background: None }
    }
}
