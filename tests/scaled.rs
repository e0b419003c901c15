//! JPEGs decoded at a fraction of their sides: which fraction, and that its pixels are those of Pillow's `Image.draft`.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // tests: shared functions, a word on skipping

#[path = "common/pixels.rs"]
#[allow(dead_code)] // other tests use all of it
mod pixels;

use std::path::{Path, PathBuf};

use pixels::{noise, sha256, table};
use sparkcider::Error;
use sparkcider::image::decode::{DecodeLimits, DecodeOptions, decode, decode_scaled};
use sparkcider::image::resize::{ResizeMode, ResizeOptions, Target};
use sparkcider::image::{RgbImage, encode_jpeg};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/decode/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn squash(height: u32, width: u32) -> Target {
    ResizeOptions::new(height, width).check().unwrap()
}

/// A line of a table: the sides and the checksum that Pillow gives at a scale; sides of 0 where it refuses the file.
struct Draft {
    name: String,
    height: u32,
    width: u32,
    sha256: String,
}

fn drafts(name: &str) -> Vec<Draft> {
    let draft = |line: Vec<String>| {
        let [name, _scale, height, width, sha256] = line.try_into().unwrap();
        Draft { name, height: height.parse().unwrap(), width: width.parse().unwrap(), sha256 }
    };
    table(&format!("decode/{name}")).into_iter().map(draft).collect()
}

/// What is not as Pillow gives it.
fn fault(draft: &Draft, bytes: &[u8]) -> Option<String> {
    // the largest target for which the scale of the line is small enough; a file that Pillow refuses is refused at any
    let target = squash((draft.height / 2).max(1), (draft.width / 2).max(1));
    let found = match decode_scaled(bytes, &DecodeOptions::default(), &target) {
        Err(Error::Decode { .. }) => (0, 0, draft.sha256.clone()),
        Err(error) => return Some(format!("{}: {error}", draft.name)),
        Ok(image) => (image.height(), image.width(), sha256(image.pixels())),
    };
    let Draft { name, height, width, sha256 } = draft;
    (found != (*height, *width, sha256.clone())).then(|| format!("{name} at {height} x {width}: {found:?}"))
}

#[test]
fn every_jpeg_fixture_has_the_pixels_of_draft_at_every_scale() {
    let drafts = drafts("scaled.tsv");
    let faults: Vec<String> = drafts.iter().filter_map(|draft| fault(draft, &fixture(&draft.name))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(drafts.len(), 60);
}

#[test]
fn photos_and_odd_jpegs_have_the_pixels_of_draft_at_every_scale() {
    let root = std::env::var_os("SPARKCIDER_TEST_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folders = ["odd-images", "photos"].map(|folder| root.join(folder));
    if folders.iter().any(|folder| !folder.is_dir()) {
        eprintln!("skipped: no test data at {} (SPARKCIDER_TEST_DATA)", root.display());
        return;
    }
    let drafts = drafts("odd_images_scaled.tsv");
    let read = |draft: &Draft| folders.iter().find_map(|folder| std::fs::read(folder.join(&draft.name)).ok()).unwrap();
    let faults: Vec<String> = drafts.iter().filter_map(|draft| fault(draft, &read(draft))).collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), drafts.len(), faults.join("\n"));
}

/// A JPEG of (height, width) with the EXIF orientation `number`.
fn jpeg(height: u32, width: u32, number: u8) -> Vec<u8> {
    let image = noise(height, width, 2);
    let file = encode_jpeg(image.pixels(), height as usize, width as usize, 75).unwrap();
    let mut exif = b"\xFF\xE1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([number, 0, 0, 0, 0, 0, 0, 0]);
    [&file[..2], &exif, &file[2..]].concat()
}

fn size(image: &RgbImage) -> (u32, u32) {
    (image.height(), image.width())
}

#[test]
fn the_scale_is_the_smallest_that_leaves_twice_what_the_resize_makes() {
    let fit = |mode, crop_ratio, height, width| ResizeOptions { mode, crop_ratio, ..ResizeOptions::new(height, width) };
    let squash = |height, width| fit(ResizeMode::Squash, 1.0, height, width);
    let crop = |ratio, height, width| fit(ResizeMode::CenterCrop, ratio, height, width);
    let letterbox = |height, width| fit(ResizeMode::Letterbox, 1.0, height, width);
    for (stored, options, expected) in [
        ((256, 1024), squash(16, 64), (32, 128)),
        ((256, 1024), squash(16, 65), (64, 256)), // 2 x 65 > 128: one side is enough
        ((256, 1024), squash(17, 1), (64, 256)),
        ((256, 1024), squash(33, 1), (128, 512)),
        ((256, 1024), squash(65, 1), (256, 1024)),
        ((256, 1024), squash(500, 500), (256, 1024)), // never below, and no fraction where it is scaled up
        ((250, 1001), squash(16, 1), (32, 126)),      // rounded up: 31.25 would be too few
        ((256, 1024), crop(1.0, 16, 16), (32, 128)),  // 16 x 64, of which the middle
        ((256, 1024), crop(0.9, 16, 16), (64, 256)),  // 18 x 72
        ((256, 1024), crop(0.25, 16, 16), (128, 512)),
        ((256, 1024), crop(1.0, 16, 128), (64, 256)), // 32 x 128: wide enough, the middle rows
        ((256, 1024), letterbox(64, 64), (32, 128)),  // 16 x 64 between bars
        ((256, 1024), letterbox(64, 65), (64, 256)),
        ((8, 8), squash(1, 1), (2, 2)), // 1/8 is a single pixel
        ((1, 1), squash(1, 1), (1, 1)),
    ] {
        let file = jpeg(stored.0, stored.1, 1);
        let image = decode_scaled(&file, &DecodeOptions::default(), &options.check().unwrap()).unwrap();
        assert_eq!(size(&image), expected, "{stored:?} for {options:?}");
    }
}

#[test]
fn an_image_on_its_side_is_measured_as_it_will_stand() {
    let stored = DecodeOptions { apply_exif: false, ..DecodeOptions::default() };
    for number in 1..=8 {
        let file = jpeg(256, 1024, number);
        let image = |options: &DecodeOptions, target| size(&decode_scaled(&file, options, &target).unwrap());
        let turned = number >= 5;
        let expected = if turned { (256, 64) } else { (256, 1024) };
        assert_eq!(image(&DecodeOptions::default(), squash(128, 16)), expected, "orientation {number}");
        assert_eq!(image(&stored, squash(128, 16)), (256, 1024), "orientation {number}");
        assert_eq!(image(&stored, squash(16, 64)), (32, 128), "orientation {number}");
    }
}

#[test]
fn the_limit_of_pixels_is_about_the_whole_image() {
    let file = jpeg(256, 1024, 1);
    let within = |max_pixels| DecodeOptions { limits: DecodeLimits { max_pixels }, ..DecodeOptions::default() };
    assert!(decode_scaled(&file, &within(256 * 1024), &squash(1, 1)).is_ok());
    let error = decode_scaled(&file, &within(256 * 1024 - 1), &squash(1, 1)).unwrap_err();
    assert!(matches!(error, Error::ImageTooLarge { width: 1024, height: 256, .. }), "{error}");
}

#[test]
fn other_files_are_decoded_whole() {
    // jpeg.tif holds a JPEG
    for name in ["RGB.png", "P.gif", "RGB.bmp", "RGB.webp", "RGB.tif", "jpeg.tif", "orientation6.png"] {
        let options = DecodeOptions::default();
        let whole = decode(&fixture(name), &options).unwrap();
        assert_eq!(decode_scaled(&fixture(name), &options, &squash(1, 1)).unwrap(), whole, "{name}");
    }
}

#[test]
fn damaged_jpegs_are_errors_or_images_at_every_scale() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as usize >> 8
    };
    for name in ["RGB.jpg", "RGB_progressive.jpg", "CMYK_progressive.jpg", "subsampling1.jpg", "orientation5.jpg"] {
        let whole = fixture(name);
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=next() % 6 {
                let at = 2 + next() % (bytes.len() - 2);
                bytes[at] = next() as u8;
            }
            let options = DecodeOptions { limits: DecodeLimits { max_pixels: 1 << 20 }, ..DecodeOptions::default() };
            match decode_scaled(&bytes, &options, &squash(1 + round % 3, 1)) {
                Ok(_) | Err(Error::Decode { .. } | Error::ImageTooLarge { .. }) => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}
