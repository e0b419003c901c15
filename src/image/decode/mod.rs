//! Encoded bytes to [`RgbImage`], as Pillow 12.1's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` decodes them.
//!
//! | step | file |
//! |---|---|
//! | the format by its first bytes | `decode/format.rs` |
//! | header, pixel limit, pixels | `decode/{jpeg,png,gif,bmp,webp}.rs`, `decode/tiff/` |
//! | grey, palette, CMYK, alpha to RGB | `decode/colour.rs` |
//! | upright by EXIF or XMP | `decode/orientation.rs` |
//!
//! JPEG is decoded bit for bit as libjpeg-turbo does it, always at full size. docs/numerics.md lists every difference from Pillow.

mod bmp;
mod colour;
mod directory;
mod format;
mod gif;
mod jpeg;
mod limits;
mod options;
mod orientation;
mod png;
mod tiff;
mod webp;

use std::cell::Cell;
use std::panic::{UnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

pub use limits::{DecodeLimits, MAX_PIXELS};
pub use options::DecodeOptions;

use super::RgbImage;
use crate::error::Result;
use format::Format;

/// Decodes an image file in memory: JPEG, PNG, GIF, BMP, TIFF or WebP, found by its first bytes.
///
/// The first frame of an animation and the first page of a TIFF. Grey is repeated, palettes are looked up, 16 bits become 8 by
/// `>> 8`, CMYK becomes RGB by Pillow's formula `(255 - k) - c * (255 - k) / 255`, alpha is dropped or laid over
/// [`DecodeOptions::background`].
///
/// # Shapes
/// (H, W, 3) u8; H and W after the turn by EXIF.
///
/// # Errors
/// [`crate::Error::Decode`] if the bytes are no whole image of these formats, [`crate::Error::ImageTooLarge`] over the pixel limit, by
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
    let format = Format::of(bytes)?;
    let codec = match format {
        Format::Bmp => bmp::decode,
        Format::Gif => gif::decode,
        Format::Jpeg => jpeg::decode,
        Format::Png => png::decode,
        Format::Tiff => tiff::decode,
        Format::WebP => webp::decode,
    };
    let decoded = without_panic(|| codec(bytes, options));
    let (image, orientation) = decoded.unwrap_or_else(|| Err(format.fault("the decoder gave up on damaged data")))?;
    if options.apply_exif { orientation.apply(image) } else { Ok(image) }
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
