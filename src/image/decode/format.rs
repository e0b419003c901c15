//! The format of a file by its first bytes.

use std::fmt::Display;

use crate::{Error, Result};

/// The formats that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Bmp,
    Gif,
    Jpeg,
    Png,
    Tiff,
    WebP,
}

impl Format {
    /// The format whose signature `bytes` begin with; [`Error::Decode`] naming what else they are.
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Ok(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            [b'B', b'M', ..] => Ok(Self::Bmp),
            // 42 is TIFF, 43 BigTIFF.
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self::Tiff),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            _ => Err(Error::Decode { format: "unknown format", reason: describe(bytes) }),
        }
    }

    /// The name that errors begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        }
    }

    /// The error of a file of this format, in its codec's words.
    pub(super) fn fault(self, reason: impl Display) -> Error {
        Error::Decode { format: self.name(), reason: reason.to_string() }
    }
}

/// What bytes of no supported format are, for the error.
fn describe(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the file is empty".to_owned();
    }
    let first: Vec<String> = bytes.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let first = first.join(" ");
    match known_name(bytes) {
        Some(name) => format!("this is {name}, which is not decoded (first bytes: {first})"),
        None => format!("neither JPEG, PNG, GIF, BMP, TIFF nor WebP (first bytes: {first})"),
    }
}

/// The name of a kind of file that folders of images are found to hold, but that is not decoded.
fn known_name(bytes: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(usize, &[u8], &str); 18] = [
        (4, b"ftypavi", "AVIF"),
        (4, b"ftyphei", "HEIC"),
        (4, b"ftyphev", "HEIC"),
        (4, b"ftypmif1", "HEIF"),
        (4, b"ftypmsf1", "HEIF"),
        (4, b"ftyp", "an MP4 or other ISO media file"),
        (0, b"%PDF", "PDF"),
        (0, b"8BPS", "a Photoshop document"),
        (0, b"\0\0\x01\0", "an icon (ICO)"),
        (0, b"\xff\x0a", "JPEG XL"),
        (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
        (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
        (0, b"\x1f\x8b", "gzip"),
        (0, b"PK\x03\x04", "a zip archive"),
        (0, b"qoif", "QOI"),
        (0, b"\x76\x2f\x31\x01", "OpenEXR"),
        (0, b"SQLite format 3", "an SQLite database"),
    ];
    let starts =
        |(at, signature, _): &&(usize, &[u8], &str)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(signature));
    SIGNATURES.iter().find(starts).map(|(_, _, name)| *name).or_else(|| markup_name(bytes))
}

/// HTML (an error page saved under an image's name), SVG or XML.
fn markup_name(bytes: &[u8]) -> Option<&'static str> {
    let start = bytes.trim_ascii_start();
    let begins = |word: &str| start.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
    match () {
        () if begins("<!doctype html") || begins("<html") => Some("an HTML page"),
        () if begins("<svg") => Some("SVG"),
        () if begins("<?xml") => Some("an XML file"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(bytes: &[u8]) -> String {
        Format::of(bytes).expect_err("no image").to_string()
    }

    #[test]
    fn known_foreign_formats_are_named_with_their_first_bytes() {
        let page = error_of(b"\n<!DOCTYPE html><html>");
        assert_eq!(
            page,
            "unknown format: this is an HTML page, which is not decoded (first bytes: 0a 3c 21 44 4f 43 54 59 50 45 20 68)"
        );
        for (bytes, name) in [
            (&b"\0\0\0\x1cftypheic"[..], "HEIC"),
            (b"\0\0\0\x1cftypavif", "AVIF"),
            (b"%PDF-1.7", "PDF"),
            (b"<svg xmlns=", "SVG"),
        ] {
            assert!(error_of(bytes).contains(&format!("this is {name}, ")), "{}", error_of(bytes));
        }
    }

    #[test]
    fn nothing_and_noise_say_so() {
        assert_eq!(error_of(b""), "unknown format: the file is empty");
        assert_eq!(
            error_of(b"\x01\x02"),
            "unknown format: neither JPEG, PNG, GIF, BMP, TIFF nor WebP (first bytes: 01 02)"
        );
    }
}
