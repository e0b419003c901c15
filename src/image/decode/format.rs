//! The format of a file by its first bytes.

use std::fmt::Display;
use std::io;

use super::foreign;
use crate::{Error, ErrorKind, Result};

/// The formats that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Bmp,
    Cur,
    Gif,
    Ico,
    Jpeg,
    Png,
    Qoi,
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
            [0, 0, 1, 0, ..] => Ok(Self::Ico),
            [0, 0, 2, 0, ..] => Ok(Self::Cur),
            [b'q', b'o', b'i', b'f', ..] => Ok(Self::Qoi),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            _ => Err(Self::begun(bytes).map_or_else(|| foreign::fault(bytes), Self::truncated)),
        }
    }

    /// The format whose signature `bytes` are the first part of.
    fn begun(bytes: &[u8]) -> Option<Self> {
        const SIGNATURES: [(&[u8], Format); 7] = [
            (b"\xFF\xD8\xFF", Format::Jpeg),
            (b"\x89PNG\r\n\x1A\n", Format::Png),
            (b"GIF87a", Format::Gif),
            (b"GIF89a", Format::Gif),
            (b"II*\0", Format::Tiff),
            (b"MM\0*", Format::Tiff),
            (b"qoif", Format::Qoi),
        ];
        let begins = |(signature, _): &&(&[u8], Self)| bytes.len() > 1 && signature.starts_with(bytes);
        SIGNATURES.iter().find(begins).map(|(_, format)| *format)
    }

    /// The name that errors begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Bmp => "BMP",
            Self::Cur => "CUR",
            Self::Gif => "GIF",
            Self::Ico => "ICO",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Qoi => "QOI",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        }
    }

    /// The error of a file of this format, in its codec's words.
    pub(super) fn fault(self, kind: ErrorKind, reason: impl Display) -> Error {
        Error::Decode { format: self.name(), kind, reason: reason.to_string() }
    }

    /// The file ends before the image does.
    pub(super) fn truncated(self) -> Error {
        self.fault(ErrorKind::Truncated, "unexpected end of data")
    }

    /// The content contradicts the format.
    pub(super) fn damaged(self, reason: impl Display) -> Error {
        self.fault(ErrorKind::Damaged, reason)
    }

    /// A variant of the format that is not decoded.
    pub(super) fn unsupported(self, reason: impl Display) -> Error {
        self.fault(ErrorKind::UnsupportedFormat, reason)
    }

    /// More memory or work than the limits allow.
    pub(super) fn too_large(self, reason: impl Display) -> Error {
        self.fault(ErrorKind::TooLarge, reason)
    }
}

/// The kind of what a codec met while it read from memory, where nothing fails but for the end.
pub(super) fn kind_of_io(error: &io::Error) -> ErrorKind {
    if error.kind() == io::ErrorKind::UnexpectedEof { ErrorKind::Truncated } else { ErrorKind::Damaged }
}
