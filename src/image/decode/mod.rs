//! Encoded bytes to [`RgbImage`], as Pillow 12.1's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` decodes them.
//!
//! | step | file |
//! |---|---|
//! | the format by its first bytes; what else they may be | `decode/format.rs`, `decode/foreign.rs` |
//! | header, pixel limit, pixels | `decode/{jpeg,png,gif,bmp,webp,icon,qoi}.rs`, `decode/tiff/` |
//! | grey, palette, CMYK, alpha to RGB | `decode/colour.rs` |
//! | upright by EXIF or XMP | `decode/orientation.rs` |
//!
//! JPEG is decoded bit for bit as libjpeg-turbo does it, at full size or, by [`decode_scaled`], at a fraction of it. docs/numerics.md
//! lists every difference from Pillow.

mod bmp;
mod colour;
mod directory;
mod foreign;
mod format;
mod gif;
mod icon;
mod jpeg;
mod limits;
mod options;
mod orientation;
mod png;
mod qoi;
mod tiff;
mod webp;

use std::cell::Cell;
use std::panic::{UnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

pub(crate) use foreign::kind_of_file;
pub use limits::{DecodeLimits, MAX_PIXELS};
pub use options::{DecodeOptions, Decoding};

use super::RgbImage;
use super::resize::Target;
use crate::error::Result;
use format::Format;

/// The reason of a file whose codec panicked.
const GAVE_UP: &str = "the decoder gave up on damaged data";

/// Decodes an image file in memory: JPEG, PNG, GIF, BMP, TIFF, WebP, ICO, CUR or QOI, found by its first bytes.
///
/// The first frame of an animation, the first page of a TIFF, the largest image of an icon. Grey is repeated, palettes are looked up, 16 bits become 8 by
/// `>> 8`, CMYK becomes RGB by Pillow's formula `(255 - k) - c * (255 - k) / 255`, alpha is dropped or laid over
/// [`DecodeOptions::background`].
///
/// # Shapes
/// (H, W, 3) u8; H and W after the turn by EXIF.
///
/// # Errors
/// [`crate::Error::Decode`] if the bytes are not a whole image of these formats, [`crate::Error::ImageTooLarge`] over the pixel limit, by
/// the header alone.
///
/// ```
/// use sparkcider::image::{decode, encode_jpeg};
///
/// let file = encode_jpeg(&[128; 4 * 6 * 3], 4, 6, 90)?;
/// let image = decode::decode(&file, &decode::DecodeOptions::default())?;
/// assert_eq!((image.height(), image.width()), (4, 6));
/// assert!(decode::decode(b"no image", &decode::DecodeOptions::default()).is_err());
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage> {
    decode_for(bytes, options, None)
}

/// Decodes an image file for a resize to `target`: a JPEG at 1/2, 1/4 or 1/8 of its sides where that is enough, other files as
/// [`decode`] does.
///
/// The scale is the smallest at which each side is at least twice as long as the resize makes it, turned by EXIF, before the cut of
/// `center_crop` and without the bars of `letterbox`. The pixels are those that Pillow's `Image.draft` gives at the same scale,
/// bit for bit. [`DecodeOptions::limits`] judge the full size.
///
/// # Shapes
/// (H, W, 3) u8; the sides of the file over 1, 2, 4 or 8, rounded up, after the turn by EXIF.
///
/// # Errors
/// As [`decode`].
///
/// ```
/// use sparkcider::image::{decode, encode_jpeg, resize};
///
/// let file = encode_jpeg(&[128; 40 * 60 * 3], 40, 60, 90)?;
/// let target = resize::ResizeOptions::new(8, 8).check()?;
/// let image = decode::decode_scaled(&file, &decode::DecodeOptions::default(), &target)?;
/// assert_eq!((image.height(), image.width()), (20, 30)); // a quarter of the height would be 10, less than 2 x 8
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn decode_scaled(bytes: &[u8], options: &DecodeOptions, target: &Target) -> Result<RgbImage> {
    decode_for(bytes, options, Some(target))
}

fn decode_for(bytes: &[u8], options: &DecodeOptions, target: Option<&Target>) -> Result<RgbImage> {
    let format = Format::of(bytes)?;
    let decoded = without_panic(|| match format {
        Format::Bmp => bmp::decode(bytes, options),
        Format::Cur | Format::Ico => icon::decode(bytes, format, options),
        Format::Gif => gif::decode(bytes, options),
        Format::Jpeg => jpeg::decode(bytes, options, target),
        Format::Png => png::decode(bytes, options),
        Format::Qoi => qoi::decode(bytes, options),
        Format::Tiff => tiff::decode(bytes, options),
        Format::WebP => webp::decode(bytes, options),
    });
    let (image, orientation) = decoded.unwrap_or_else(|| Err(format.damaged(GAVE_UP)))?;
    if options.apply_exif { orientation.apply(image) } else { Ok(image) }
}

/// (height, width) in pixels as the header of an image file states them, as stored: before the turn by EXIF. Only the header is
/// read, nothing is allocated by what it states, and the rest of the file may be missing.
///
/// # Errors
/// [`crate::Error::Decode`] if the bytes are not an image of these formats, or end within the header.
///
/// ```
/// use sparkcider::image::{decode, encode_jpeg};
///
/// let file = encode_jpeg(&[128; 4 * 6 * 3], 4, 6, 90)?;
/// assert_eq!(decode::header_size(&file)?, (4, 6));
/// assert!(decode::header_size(b"no image").is_err());
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn header_size(bytes: &[u8]) -> Result<(u64, u64)> {
    let format = Format::of(bytes)?;
    let size = || match format {
        Format::Bmp => bmp::size(bytes),
        Format::Cur | Format::Ico => icon::size(bytes, format),
        Format::Gif => gif::size(bytes),
        Format::Jpeg => jpeg::size(bytes),
        Format::Png => png::size(bytes),
        Format::Qoi => qoi::size(bytes),
        Format::Tiff => tiff::size(bytes),
        Format::WebP => webp::size(bytes),
    };
    without_panic(size).unwrap_or_else(|| Err(format.damaged(GAVE_UP)))
}

/// Runs a codec; `None` if it panicked. A codec owns all that it touches, so a panic fails only this row.
///
/// Nothing is printed, as the reason is in the row: the hook that prints panics is replaced once by one that leaves those
/// of a running codec out.
fn without_panic<T>(codec: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    thread_local!(static RUNNING: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !RUNNING.get() {
                print(panic);
            }
        }));
    });
    RUNNING.set(true);
    let outcome = catch_unwind(codec).ok();
    RUNNING.set(false);
    outcome
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_codec_that_panics_prints_nothing_and_other_panics_are_printed() {
        let this = "image::decode::tests::panics_for_the_test_above";
        let arguments = ["--ignored", "--exact", this, "--nocapture"];
        let child = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
        let printed = String::from_utf8(child.stderr).unwrap();
        assert!(!printed.contains("in a codec") && printed.contains("outside of a codec"), "{printed}");
    }

    #[test]
    #[ignore = "run by the test above, in a process of its own"]
    fn panics_for_the_test_above() {
        assert_eq!(without_panic(|| 1), Some(1));
        assert_eq!(without_panic(|| -> u8 { panic!("in a codec") }), None);
        panic!("outside of a codec");
    }
}
