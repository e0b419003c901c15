//! Decoding against Pillow 12.1: the project's own fixtures, the odd and broken files of the test data, hostile bytes.
//!
//! The tables are written by `tests/data/decode/make_fixtures.py` and `make_pillow_table.py`.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::format_collect)] // tests: shared functions, a word on skipping, digests of little

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use sparkcider::Error;
use sparkcider::image::RgbImage;
use sparkcider::image::decode::{DecodeLimits, DecodeOptions, decode, header_size};

/// Far above the slowest file, a photo of 9 megapixels (70 ms to 0.6 s in the dev profile, by load); a hang would take for ever.
const SLOW: Duration = Duration::from_secs(5);

/// What Pillow decodes and we refuse: `BitsPerSample` has four numbers for three samples; Pillow drops the last.
const REFUSED: [(&str, &str); 1] = [("pillow_tiff_wrong_bits_per_sample_2.tiff", "inconsistent sizes")];

/// What we decode and Pillow refuses: bit fields of any width, palettes past 256 entries, a damaged TIFF and PNG.
const ACCEPTED: [&str; 12] = [
    "image-rs-image_bmp_images_V3_A4_R4_G4_B4.bmp",
    "image-rs-image_bmp_images_V3_A4_R4_G4_B4_Top_Down.bmp",
    "image-rs-image_bmp_images_V3_X4_R4_G4_B4.bmp",
    "image-rs-image_bmp_images_lenient_rgb16-880.bmp",
    "image-rs-image_bmp_images_lenient_rle_overflow.bmp",
    "image-rs-image_bmp_images_rgb16-231.bmp",
    "image-rs-image_bmp_images_rgba16-1924.bmp",
    "image-rs-image_bmp_images_rgba32-61754.bmp",
    "image-rs-image_tiff_testsuite_ycbcr_lzw_broken.tif",
    "pillow_bmp_q_pal8oversizepal.bmp",
    "pillow_bmp_q_rgba16-4444.bmp",
    "pillow_unknown_compression_method.png",
];

/// What both decode to other pixels, and the sha256 of ours: Pillow misreads RLE deltas, odd RLE4 runs and empty RLE rows.
const DIFFERENT: [(&str, &str); 3] = [
    (
        "image-rs-image_bmp_images_lenient_badrle.bmp",
        "07ec765393b3cbf1a6f710ab05c75cb4edec1cef9374f2f7b26eb5123a399d45",
    ),
    ("pillow_bmp_g_pal4rle.bmp", "6283ee921e858d17d7b44dc61852cb64d433c30e858c18a0147f586ed7966808"),
    ("pillow_bmp_q_pal8rletrns.bmp", "c37e483b96ea753561d587d8a4788b18d4917132f3bb0be8ee953bbba8a5f7e5"),
];

/// sha256 of the pixels of all 2,280 images of fruits/Test as Pillow 12.1 decodes them, in the order of their paths.
const FRUITS: &str = "28f7593011e2d892b1cc97a99c89eff782ba0757436b1618d7379a5999e94f86";

fn within(max_pixels: u64) -> DecodeOptions {
    DecodeOptions { limits: DecodeLimits { max_pixels }, ..DecodeOptions::default() }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/decode")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

/// A folder of the test data; `None`, said aloud, where it is absent.
fn test_data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SPARKCIDER_TEST_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folder = root.join(folder);
    if !folder.is_dir() {
        eprintln!("skipped: no test data at {} (SPARKCIDER_TEST_DATA)", folder.display());
        return None;
    }
    Some(folder)
}

/// The table of a file of `tests/data/decode`: name to (height, width, sha256 or Pillow's error).
fn table(name: &str) -> BTreeMap<String, (u32, u32, String)> {
    let text = String::from_utf8(fixture(name)).unwrap();
    let lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    lines.map(|f| (f[0].to_owned(), (f[1].parse().unwrap(), f[2].parse().unwrap(), f[3].to_owned()))).collect()
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An image as a line of the tables holds it.
fn summary(image: &RgbImage) -> (u32, u32, String) {
    (image.height(), image.width(), hex(Sha256::digest(image.pixels())))
}

fn is_decode_error(error: &Error) -> bool {
    matches!(error, Error::Decode { .. } | Error::ImageTooLarge { .. })
}

#[test]
fn every_format_mode_and_orientation_is_decoded_as_pillow_does() {
    for (name, expected) in table("fixtures.tsv") {
        let image = decode(&fixture(&name), &DecodeOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(summary(&image), expected, "{name}");
    }
}

#[test]
fn transparency_is_laid_over_the_background_as_pillow_pastes_it() {
    // make_fixtures.py's BACKGROUND
    let options = DecodeOptions { background: Some([200, 100, 50]), ..DecodeOptions::default() };
    for (name, expected) in table("background.tsv") {
        let image = decode(&fixture(&name), &options).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(summary(&image), expected, "{name}");
    }
}

#[test]
fn pixels_stay_as_stored_without_apply_exif() {
    let stored = DecodeOptions { apply_exif: false, ..DecodeOptions::default() };
    for name in ["orientation6.jpg", "orientation6.png", "orientation5.webp", "orientation8.tif"] {
        let image = decode(&fixture(name), &stored).unwrap();
        assert_eq!((image.height(), image.width()), (13, 17), "{name}");
    }
}

#[test]
fn an_image_over_the_limit_is_refused_with_its_size_in_every_format() {
    let options = within(13 * 17 - 1);
    for name in table("fixtures.tsv").keys() {
        let error = decode(&fixture(name), &options).unwrap_err();
        let expected = "image of 17 x 13 pixels is over the limit of 220 pixels (max_pixels)";
        assert_eq!(error.to_string(), expected, "{name}");
    }
    let options = within(13 * 17);
    assert!(decode(&fixture("RGB.png"), &options).is_ok());
}

#[test]
fn a_bomb_is_refused_by_its_header_before_anything_is_allocated() {
    let mut png = fixture("RGB.png");
    png[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    let mut gif = fixture("P.gif");
    gif[6..10].copy_from_slice(&[0xFF; 4]);
    let mut bmp = fixture("RGB.bmp");
    bmp[18..26].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0x7F]);
    let mut jpeg = fixture("RGB.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let mut icon = fixture("RGB_bitmap.ico");
    icon[26..34].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0x7F]);
    let mut qoi = fixture("RGB.qoi");
    qoi[4..12].copy_from_slice(&[0xFF; 8]);
    for bytes in [png, gif, bmp, jpeg, icon, qoi] {
        let error = decode(&bytes, &DecodeOptions::default()).unwrap_err();
        assert!(matches!(error, Error::ImageTooLarge { limit: 178_956_970, .. }), "{error}");
    }
}

#[test]
fn the_header_tells_the_size_as_stored_in_every_format() {
    let stored = DecodeOptions { apply_exif: false, ..DecodeOptions::default() };
    for name in table("fixtures.tsv").keys() {
        let bytes = fixture(name);
        let image = decode(&bytes, &stored).unwrap();
        assert_eq!(header_size(&bytes).unwrap(), (image.height().into(), image.width().into()), "{name}");
    }
}

#[test]
fn what_follows_the_header_may_be_missing_and_what_ends_within_it_is_an_error() {
    // a TIFF's directory may stand behind its pixels
    let jpegs = ["RGB.jpg", "RGB_progressive.jpg"];
    let others =
        ["RGB.png", "P.gif", "RGB.bmp", "RGB_lossless.webp", "RGB.ico", "RGB_bitmap.ico", "RGB.cur", "RGB.qoi"];
    for name in jpegs.into_iter().chain(others) {
        let bytes = fixture(name);
        let sizes: Vec<_> = (0..bytes.len()).map(|length| header_size(&bytes[..length])).collect();
        let header = sizes.iter().position(Result::is_ok).unwrap();
        assert!(header > 8 && sizes[..header].iter().all(|size| size.as_ref().is_err_and(is_decode_error)), "{name}");
        assert!(sizes[header..].iter().all(|size| *size.as_ref().unwrap() == (13, 17)), "{name}");
        assert!(decode(&bytes[..header], &DecodeOptions::default()).is_err(), "{name}");
    }
}

#[test]
fn a_header_may_state_any_size() {
    let mut gif = fixture("P.gif");
    gif[6..10].copy_from_slice(&[0xFF; 4]);
    let mut bmp = fixture("RGB.bmp");
    bmp[18..26].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0x80]);
    assert_eq!(header_size(&gif).unwrap(), (65_535, 65_535));
    assert_eq!(header_size(&bmp).unwrap(), (1 << 31, (1 << 31) - 1)); // rows from the top: a negative height
}

#[test]
fn a_file_cut_anywhere_before_its_pixels_end_is_an_error_that_names_its_format() {
    for (name, format) in [
        ("RGB.jpg", "JPEG"),
        ("RGB_progressive.jpg", "JPEG"),
        ("RGB.png", "PNG"),
        ("RGB.bmp", "BMP"),
        ("RGB.webp", "WebP"),
        ("RGB.ico", "ICO"),
        ("RGB_bitmap.ico", "ICO"),
        ("RGB.cur", "CUR"),
        ("RGB.qoi", "QOI"),
    ] {
        let bytes = fixture(name);
        for length in [20, bytes.len() / 2, bytes.len() * 9 / 10] {
            let error = decode(&bytes[..length], &DecodeOptions::default()).expect_err(name).to_string();
            assert!(error.starts_with(&format!("{format}: ")), "{name} cut at {length}: {error}");
        }
    }
    let cut = fixture("RGB.jpg");
    let error = decode(&cut[..cut.len() - 2], &DecodeOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "JPEG: unexpected end of data");
}

#[test]
fn what_is_no_image_is_named() {
    let page = decode(b"<!DOCTYPE html><title>404</title>", &DecodeOptions::default()).unwrap_err();
    assert!(page.to_string().starts_with("unknown format: this is an HTML page, which is not decoded"), "{page}");
    let nothing = decode(b"", &DecodeOptions::default()).unwrap_err();
    assert_eq!(nothing.to_string(), "unknown format: the file is empty");
}

#[test]
fn odd_and_broken_files_are_decoded_as_pillow_does_but_for_the_listed_ones() {
    let (Some(odd), Some(photos)) = (test_data("odd-images"), test_data("photos")) else { return };
    let mut faults = Vec::new();
    for (name, (height, width, expected)) in table("odd_images_pillow.tsv") {
        let path = [&odd, &photos].map(|folder| folder.join(&name)).into_iter().find(|path| path.exists()).unwrap();
        let bytes = std::fs::read(path).unwrap();
        let start = Instant::now();
        let decoded = decode(&bytes, &DecodeOptions::default());
        if start.elapsed() > SLOW {
            faults.push(format!("{name}: took {:?}", start.elapsed()));
        }
        let name = name.as_str();
        let refused = REFUSED.iter().find(|(file, _)| *file == name);
        let different = DIFFERENT.iter().find(|(file, _)| *file == name);
        let as_listed = match &decoded {
            Err(error) if height == 0 => is_decode_error(error) && !ACCEPTED.contains(&name),
            Err(error) => refused.is_some_and(|(_, reason)| error.to_string().contains(reason)),
            Ok(_) if height == 0 => ACCEPTED.contains(&name),
            Ok(image) => match different {
                Some((_, ours)) => summary(image) == (height, width, (*ours).to_owned()),
                None => refused.is_none() && summary(image) == (height, width, expected.clone()),
            },
        };
        if !as_listed {
            faults.push(format!("{name}: Pillow {height} x {width} {expected}, we {:?}", decoded.map(|i| summary(&i))));
        }
    }
    assert!(faults.is_empty(), "{} files:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_fruit_is_decoded_bit_for_bit_as_pillow_does() {
    let Some(folder) = test_data("fruits/Test") else { return };
    let labels = std::fs::read_dir(folder).unwrap().map(|label| label.unwrap().path());
    let mut files: Vec<_> =
        labels.flat_map(|label| std::fs::read_dir(label).unwrap()).map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut digest = Sha256::new();
    for file in &files {
        digest.update(decode(&std::fs::read(file).unwrap(), &DecodeOptions::default()).unwrap().pixels());
    }
    assert_eq!((files.len(), hex(digest.finalize()).as_str()), (2280, FRUITS));
}

/// Marsaglia's xorshift64: random enough for damage, the same on every run.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap()
}

#[test]
fn damaged_bytes_never_panic_and_never_hang() {
    const ROUNDS: usize = 60; // per fixture: some 4,000 files in all
    let mut state = 0x9E37_79B9_7F4A_7C15;
    let options = DecodeOptions { background: Some([1, 2, 3]), ..within(1 << 20) };
    for name in table("fixtures.tsv").keys() {
        let whole = fixture(name);
        for round in 0..ROUNDS {
            let mut bytes = whole.clone();
            for _ in 0..=next(&mut state) % 8 {
                // Half of the damage hits the headers, where it hurts most.
                let reach = if next(&mut state).is_multiple_of(2) { bytes.len().min(100) } else { bytes.len() };
                let at = next(&mut state) % reach;
                bytes[at] = [0, 0xFF, 0x7F, u8::try_from(next(&mut state) % 256).unwrap()][next(&mut state) % 4];
            }
            if round % 5 == 0 {
                bytes.truncate(next(&mut state) % bytes.len() + 1);
            }
            let start = Instant::now();
            let decoded = std::panic::catch_unwind(|| {
                let _ = header_size(&bytes);
                decode(&bytes, &options)
            });
            assert!(start.elapsed() < SLOW, "{name} round {round} took {:?}", start.elapsed());
            if let Err(error) = decoded.unwrap_or_else(|_| panic!("{name} round {round} panicked")) {
                assert!(is_decode_error(&error), "{name} round {round}: {error}");
            }
        }
    }
}
