//! The kind of each fault: what the word says is what was done to the file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::case_sensitive_file_extension_comparisons)] // tests: shared functions, our own names

use std::path::{Path, PathBuf};

use sparkcider::image::decode::{DecodeLimits, DecodeOptions, decode};
use sparkcider::{Error, ErrorKind, FeatureExtractor, Options};

/// Bytes after which every format is known: the signature of WebP is the longest.
const SIGNATURE: usize = 12;

/// The same picture in each format.
const EVERY_FORMAT: [&str; 9] =
    ["RGB.jpg", "RGB.png", "RGB.gif", "RGB.bmp", "RGB.tif", "RGB.webp", "RGB.ico", "RGB.cur", "RGB.qoi"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/decode")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// Every image file of `tests/data/decode`.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let names = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| !name.ends_with(".py") && !name.ends_with(".tsv") && name.contains('.')).collect();
    names.sort();
    assert!(names.len() > 70, "{names:?}");
    names.into_iter().map(|name| (name.clone(), fixture(&name))).collect()
}

fn outcome(bytes: &[u8]) -> Result<(), ErrorKind> {
    let decoded = decode(bytes, &DecodeOptions::default());
    decoded.map(drop).map_err(|error| error.kind().unwrap_or_else(|| panic!("no kind: {error}")))
}

#[test]
fn a_file_cut_anywhere_is_truncated_or_still_has_its_first_image() {
    for (name, bytes) in fixtures() {
        let whole = decode(&bytes, &DecodeOptions::default()).unwrap();
        let mut missed = SIGNATURE;
        for length in SIGNATURE..bytes.len() {
            match decode(&bytes[..length], &DecodeOptions { apply_exif: false, ..DecodeOptions::default() }) {
                Ok(image) => assert_eq!(image.pixels().len(), whole.pixels().len(), "{name} cut at {length}"),
                Err(error) => {
                    assert_eq!(error.kind(), Some(ErrorKind::Truncated), "{name} cut at {length}: {error}");
                    missed = length + 1;
                }
            }
        }
        // what follows the pixels: an end marker, padding, metadata; the other frames; the mask of a cursor
        let behind = bytes.len() - missed;
        let most = if name.starts_with("animation") { bytes.len() * 5 / 8 } else { 32 };
        let most = if name.ends_with(".cur") { 13 * 4 } else { most };
        assert!(behind <= most, "{name}: {behind} bytes of {} are not missed", bytes.len());
    }
}

#[test]
fn an_eighth_to_seven_eighths_of_a_still_image_are_truncated() {
    for (name, bytes) in fixtures().iter().filter(|(name, _)| !name.starts_with("animation")) {
        for eighth in 1..8 {
            let kind = outcome(&bytes[..bytes.len() * eighth / 8]);
            assert_eq!(kind, Err(ErrorKind::Truncated), "{name}, {eighth} of 8");
        }
    }
}

#[test]
fn less_than_a_signature_is_truncated_where_it_is_recognised() {
    for name in ["RGB.jpg", "RGB.png", "RGB.gif", "RGB.tif", "RGB.qoi"] {
        let bytes = fixture(name);
        for length in 2..8 {
            assert_eq!(outcome(&bytes[..length]), Err(ErrorKind::Truncated), "{name} cut at {length}");
        }
    }
}

#[test]
fn a_wrong_extension_does_not_matter() {
    // the decoder is given no name at all: the bytes alone decide
    for name in EVERY_FORMAT {
        assert_eq!(outcome(&fixture(name)), Ok(()), "{name}");
    }
}

#[test]
fn what_is_no_image_is_told_from_what_is_not_known_or_not_decoded() {
    for (bytes, kind) in [
        (&b""[..], ErrorKind::Empty),
        (b"<!DOCTYPE html><html><title>404 Not Found</title>", ErrorKind::NotAnImage),
        (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", ErrorKind::NotAnImage),
        (b"{\"message\": \"Not Found\"}", ErrorKind::NotAnImage),
        (b"These are not the pixels you are looking for.\n", ErrorKind::NotAnImage),
        (b"%PDF-1.7\n", ErrorKind::NotAnImage),
        (b"\0\0\0\x20ftypisom\0\0\x02\0", ErrorKind::NotAnImage),
        (&[0; 4096], ErrorKind::UnknownFormat),
        (b"\x01\x9f\xfe\x02\x03\x80\x81", ErrorKind::UnknownFormat),
        (b"\0\0\0\x1cftypheic\0\0\0\0", ErrorKind::UnsupportedFormat),
        (b"\xff\x0a\xfa\x7f", ErrorKind::UnsupportedFormat),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ErrorKind::UnsupportedFormat),
    ] {
        assert_eq!(outcome(bytes), Err(kind), "{}", String::from_utf8_lossy(bytes));
    }
}

/// A fixture with the bytes at `at` replaced.
fn patched(name: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = fixture(name);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// Where the marker 0xFF `marker` of a JPEG stands.
fn marker(jpeg: &[u8], marker: u8) -> usize {
    jpeg.windows(2).position(|pair| pair == [0xFF, marker]).unwrap()
}

#[test]
fn content_that_contradicts_the_format_is_damaged() {
    let jpeg = fixture("RGB.jpg");
    let tables = marker(&jpeg, 0xC4);
    let png = fixture("RGB.png");
    let data = png.windows(4).position(|name| name == b"IDAT").unwrap() + 10;
    let frame = fixture("P.gif").windows(5).position(|start| start == b",\0\0\0\0").unwrap();
    for (name, bytes) in [
        ("Huffman tables", patched("RGB.jpg", tables + 5, &[0xFF; 16])),
        ("scan before its frame", [&jpeg[..marker(&jpeg, 0xC0)], &jpeg[marker(&jpeg, 0xDA)..]].concat()),
        ("compressed pixels", patched("RGB.png", data, &[0xFF; 20])),
        ("size of the frame", patched("RGB.png", 16, &[0; 8])),
        ("code size of a GIF", patched("P.gif", frame + 10, &[0x7F])),
        ("header size", patched("RGB.bmp", 14, &[7, 0, 0, 0])),
        ("lossless pixels", patched("RGB_lossless.webp", 20, &[0; 40])),
        ("partitions", patched("RGB.webp", 23, &[0; 20])),
        ("an icon without an image", patched("RGB.ico", 4, &[0, 0])),
        ("compressed pixels in an icon", patched("RGB.ico", 22 + data, &[0xFF; 20])),
        ("header size in an icon", patched("RGB_bitmap.ico", 22, &[7, 0, 0, 0])),
        ("an icon smaller than its mask", patched("RGB_bitmap.ico", 14, &[1, 0, 0, 0])),
        ("size of a QOI", patched("RGB.qoi", 4, &[0; 4])),
    ] {
        assert_eq!(outcome(&bytes), Err(ErrorKind::Damaged), "{name}");
    }
}

#[test]
fn a_variant_that_is_not_decoded_is_unsupported() {
    let jpeg = fixture("RGB.jpg");
    let frame = marker(&jpeg, 0xC0);
    let tiff = fixture("RGB.tif");
    let compression = tiff.windows(4).position(|entry| entry == [3, 1, 3, 0]).unwrap() + 8;
    for (name, bytes) in [
        ("JPEG of a hierarchical process", patched("RGB.jpg", frame + 1, &[0xC5])),
        ("JPEG of 12 bits", patched("RGB.jpg", frame + 4, &[12])),
        ("BMP that holds a PNG", patched("RGB.bmp", 30, &[5])),
        ("TIFF of old-style JPEG", patched("RGB.tif", compression, &[6])),
    ] {
        assert_eq!(outcome(&bytes), Err(ErrorKind::UnsupportedFormat), "{name}");
    }
}

#[test]
fn more_than_the_limits_allow_is_too_large() {
    let limits = DecodeLimits { max_pixels: 13 * 17 - 1 };
    for name in EVERY_FORMAT {
        let error = decode(&fixture(name), &DecodeOptions { limits, ..DecodeOptions::default() }).unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::TooLarge), "{name}");
    }
    // 2^27 x 1 pixels: within the limit of pixels, but not of a side
    assert_eq!(outcome(&patched("RGB.bmp", 18, &[0, 0, 0, 8, 1, 0, 0, 0])), Err(ErrorKind::TooLarge));
}

#[test]
fn errors_that_are_not_about_an_image_have_no_kind() {
    let error = FeatureExtractor::pixels(&Options { input_size: Some((0, 0)), ..Options::default() }).unwrap_err();
    assert!(matches!(error, Error::Option { .. }) && error.kind().is_none());
}

#[test]
fn every_row_of_a_batch_has_the_kind_of_its_own_fault() {
    let mut extractor = FeatureExtractor::pixels(&Options::default()).unwrap();
    let good = fixture("RGB.png");
    let rows = [None, Some(&b""[..]), Some(&good), Some(&good[..200]), Some(b"text")];
    let features = extractor.extract(rows.into_iter()).unwrap();
    let kinds: Vec<_> = features.errors.iter().map(|fault| fault.as_ref().map(|fault| fault.kind)).collect();
    let expected =
        [Some(ErrorKind::Null), Some(ErrorKind::Empty), None, Some(ErrorKind::Truncated), Some(ErrorKind::NotAnImage)];
    assert_eq!(kinds, expected);
}

#[test]
fn the_words_are_different_and_fit_a_filter() {
    let words: std::collections::BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.word()).collect();
    assert_eq!(words.len(), ErrorKind::ALL.len());
    assert!(words.iter().all(|word| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')));
}
