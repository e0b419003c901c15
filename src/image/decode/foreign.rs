//! What a file is that begins as none of the decoded formats does: found in folders of images, and named in its error.

use crate::{Error, ErrorKind};

/// Bytes that tell whether a file is text.
const TEXT: usize = 512;

/// What the bytes `signature` at `at` begin, and whether that is an image.
struct Signature(usize, &'static [u8], &'static str, bool);

/// Kinds of files that are not decoded. The first that fits counts.
const SIGNATURES: [Signature; 35] = [
    Signature(4, b"ftypavi", "AVIF", true),
    Signature(4, b"ftyphei", "HEIC", true),
    Signature(4, b"ftyphev", "HEIC", true),
    Signature(4, b"ftypmif1", "HEIF", true),
    Signature(4, b"ftypmsf1", "HEIF", true),
    Signature(4, b"ftypcrx ", "a Canon raw image (CR3)", true),
    Signature(4, b"ftyp", "an MP4 or other ISO media file", false),
    Signature(0, b"8BPS", "a Photoshop document", true),
    Signature(0, b"\xff\x0a", "JPEG XL", true),
    Signature(0, b"\0\0\0\x0cJXL ", "JPEG XL", true),
    Signature(0, b"\0\0\0\x0cjP  ", "JPEG 2000", true),
    Signature(0, b"\xff\x4f\xff\x51", "JPEG 2000", true),
    Signature(0, b"\x76\x2f\x31\x01", "OpenEXR", true),
    Signature(0, b"DDS ", "a DirectDraw surface (DDS)", true),
    Signature(0, b"#?RADIANCE", "Radiance HDR", true),
    Signature(0, b"FUJIFILMCCD-RAW", "a Fujifilm raw image (RAF)", true),
    Signature(0, b"%PDF", "PDF", false),
    Signature(0, b"\x1f\x8b", "gzip", false),
    Signature(0, b"BZh", "bzip2", false),
    Signature(0, b"\xfd7zXZ\0", "xz", false),
    Signature(0, b"\x28\xb5\x2f\xfd", "zstd", false),
    Signature(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", false),
    Signature(0, b"PK\x03\x04", "a zip archive", false),
    Signature(257, b"ustar", "a tar archive", false),
    Signature(0, b"SQLite format 3", "an SQLite database", false),
    Signature(0, b"PAR1", "Parquet", false),
    Signature(0, b"\x93NUMPY", "a NumPy array", false),
    Signature(0, b"\x89HDF", "HDF5", false),
    Signature(0, b"RIFF", "a RIFF file such as WAV or AVI", false),
    Signature(0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video", false),
    Signature(0, b"OggS", "Ogg", false),
    Signature(0, b"ID3", "MP3", false),
    Signature(0, b"\x7fELF", "a program (ELF)", false),
    Signature(0, b"\0\x05\x16\x07", "macOS metadata (AppleDouble)", false),
    Signature(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file such as Thumbs.db", false),
];

/// The error of bytes that are of no decoded format.
pub(super) fn fault(bytes: &[u8]) -> Error {
    let error = |kind, reason| Error::Decode { format: "unknown format", kind, reason };
    if bytes.is_empty() {
        return error(ErrorKind::Empty, "the file is empty".to_owned());
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return error(ErrorKind::UnknownFormat, format!("all {} bytes are 0", bytes.len()));
    }
    let first: Vec<String> = bytes.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let first = first.join(" ");
    if let Some((name, is_image)) = known(bytes) {
        let kind = if is_image { ErrorKind::UnsupportedFormat } else { ErrorKind::NotAnImage };
        return error(kind, format!("this is {name}, which is not decoded (first bytes: {first})"));
    }
    let reason = format!("neither JPEG, PNG, GIF, BMP, TIFF, WebP, ICO, CUR nor QOI (first bytes: {first})");
    error(ErrorKind::UnknownFormat, reason)
}

/// What a file is that is not what it should be, such as `an HTML page`, by its first bytes; `None` where they do not tell.
pub(crate) fn kind_of_file(bytes: &[u8]) -> Option<&'static str> {
    known(bytes).map(|(name, _)| name)
}

/// The name of what the bytes begin, and whether it is an image.
fn known(bytes: &[u8]) -> Option<(&'static str, bool)> {
    let begins =
        |Signature(at, signature, ..): &&Signature| bytes.get(*at..).is_some_and(|rest| rest.starts_with(signature));
    let known = SIGNATURES.iter().find(begins).map(|Signature(_, _, name, is_image)| (*name, *is_image));
    known.or_else(|| text(bytes.get(..TEXT).unwrap_or(bytes)))
}

/// Text: HTML (an error page saved under an image's name), SVG, XML (an error of S3) and the rest.
fn text(start: &[u8]) -> Option<(&'static str, bool)> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // the last character may be cut
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let text = text.trim_start_matches('\u{FEFF}').trim_start().to_ascii_lowercase();
    let begins = |word: &str| text.starts_with(word);
    Some(match () {
        () if begins("<!doctype html") || begins("<html") => ("an HTML page", false),
        () if begins("<svg") || (begins("<?xml") && text.contains("<svg")) => ("SVG", true),
        () if begins("<?xml") => ("an XML file", false),
        () if begins("version https://git-lfs") => ("a Git LFS pointer", false),
        () if begins("p")
            && text[1..].starts_with(|c| ('1'..='7').contains(&c))
            && text[2..].starts_with(char::is_whitespace) =>
        {
            ("Netpbm", true)
        }
        () => ("text", false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &[u8]) -> (ErrorKind, String) {
        let error = fault(bytes);
        (error.kind().unwrap(), error.to_string())
    }

    #[test]
    fn known_foreign_formats_are_named_with_their_first_bytes() {
        let (kind, page) = parts(b"\n<!DOCTYPE html><html>");
        assert_eq!(kind, ErrorKind::NotAnImage);
        assert_eq!(
            page,
            "unknown format: this is an HTML page, which is not decoded (first bytes: 0a 3c 21 44 4f 43 54 59 50 45 20 68)"
        );
        for (bytes, name, kind) in [
            (&b"\0\0\0\x1cftypheic"[..], "HEIC", ErrorKind::UnsupportedFormat),
            (b"\0\0\0\x1cftypisom", "an MP4 or other ISO media file", ErrorKind::NotAnImage),
            (b"%PDF-1.7", "PDF", ErrorKind::NotAnImage),
            (b"<svg xmlns=", "SVG", ErrorKind::UnsupportedFormat),
            (b"<?xml version='1.0'?>\n<svg>", "SVG", ErrorKind::UnsupportedFormat),
            (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied", "an XML file", ErrorKind::NotAnImage),
            (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", ErrorKind::NotAnImage),
            (b"P6\n3 4\n255\n", "Netpbm", ErrorKind::UnsupportedFormat),
            (b"RIFF\x24\0\0\0WAVEfmt ", "a RIFF file such as WAV or AVI", ErrorKind::NotAnImage),
        ] {
            let (found, reason) = parts(bytes);
            assert!(reason.contains(&format!("this is {name}, ")), "{reason}");
            assert_eq!(found, kind, "{name}");
        }
    }

    #[test]
    fn text_may_be_cut_within_a_character_and_has_no_control_characters() {
        let german = "Nicht verfügbar: ü".repeat(100);
        for length in [1, 14, TEXT - 1, TEXT, TEXT + 1] {
            assert_eq!(text(&german.as_bytes()[..length.min(TEXT)]), Some(("text", false)), "{length}");
        }
        assert_eq!(text(b"p"), Some(("text", false)));
        assert_eq!(text(b"some\0text"), None);
        assert_eq!(text(b"caf\xe9 au lait"), None);
    }

    #[test]
    fn nothing_zeros_and_noise_say_so() {
        assert_eq!(parts(b""), (ErrorKind::Empty, "unknown format: the file is empty".to_owned()));
        assert_eq!(parts(&[0; 7]), (ErrorKind::UnknownFormat, "unknown format: all 7 bytes are 0".to_owned()));
        let noise =
            "unknown format: neither JPEG, PNG, GIF, BMP, TIFF, WebP, ICO, CUR nor QOI (first bytes: 01 02)".to_owned();
        assert_eq!(parts(b"\x01\x02"), (ErrorKind::UnknownFormat, noise));
    }
}
