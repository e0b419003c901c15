//! JPEG by libjpeg-turbo, compiled in: the codec of Pillow, so its pixels are Pillow's bit for bit.
//!
//! `shim.c` holds all error handling in C. A call keeps no pointer and frees what it allocated.

#![allow(unsafe_code)] // two calls into C

use std::ffi::{c_char, c_int};

use thiserror::Error;
use turbojpeg_sys as _; // links libturbojpeg.a, which holds libjpeg's own functions, too

use crate::ErrorKind;

/// Why a file is not decoded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Damaged; the reason is libjpeg's own message.
    #[error("{0}")]
    Broken(String),
    /// Of a kind that libjpeg-turbo does not decode, such as lossless; the reason is libjpeg's own message.
    #[error("{0}")]
    Unsupported(String),
    /// Larger than libjpeg-turbo takes; the reason is libjpeg's own message.
    #[error("{0}")]
    TooLarge(String),
    /// The data ends before the image does.
    #[error("unexpected end of data")]
    Cut,
    /// More scans than allowed.
    #[error("more than {0} scans")]
    Scans(u64),
    /// The coefficients need more memory than allowed.
    #[error("decoding needs more memory than the limit allows")]
    Memory,
}

impl Fault {
    /// What is wrong, in one word.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Broken(_) => ErrorKind::Damaged,
            Self::Unsupported(_) => ErrorKind::UnsupportedFormat,
            Self::Cut => ErrorKind::Truncated,
            Self::TooLarge(_) | Self::Scans(_) | Self::Memory => ErrorKind::TooLarge,
        }
    }
}

/// How the components are coded. The numbers are those of libjpeg's `J_COLOR_SPACE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Coded {
    /// As the file's own markers say.
    AsMarked = 0,
    Grey = 1,
    Rgb = 2,
    YCbCr = 3,
    Cmyk = 4,
}

/// The pixels to decode to, by their number of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Pixels {
    Rgb = 3,
    /// As stored; Adobe's files store the inks inverted.
    Cmyk = 4,
}

/// One over this of each side, by smaller transforms of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Scale {
    Whole = 1,
    Half = 2,
    Quarter = 4,
    Eighth = 8,
}

impl Scale {
    /// The side of the pixels that a side of `side` becomes.
    pub(crate) fn of(self, side: u32) -> u32 {
        side.div_ceil(self as u32)
    }
}

/// How to decode.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Options {
    pub coded: Coded,
    pub pixels: Pixels,
    pub scale: Scale,
    pub max_scans: u64,
    /// Bytes for the coefficients of a file with several scans.
    pub max_memory: u64,
}

/// What the markers before the first scan state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Header {
    pub width: u32,
    pub height: u32,
    pub components: u32,
}

/// Length of libjpeg's messages (`JMSG_LENGTH_MAX`).
const MESSAGE: usize = 200;

unsafe extern "C" {
    fn sc_jpeg_decode(
        data: *const u8,
        length: usize,
        options: *const Options,
        header: *mut Header,
        out: *mut u8,
        out_length: usize,
        message: *mut c_char,
    ) -> c_int;
    fn sc_jpeg_encode(
        pixels: *const u8,
        width: u32,
        height: u32,
        quality: u32,
        out: *mut u8,
        length: *mut usize,
        message: *mut c_char,
    ) -> c_int;
}

/// Reads the markers before the first scan. Allocates some kilobytes, whatever the size of the image.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, Fault> {
    let (coded, pixels, scale) = (Coded::AsMarked, Pixels::Rgb, Scale::Whole);
    let options = Options { coded, pixels, scale, max_scans: 1, max_memory: 1 << 20 };
    run(bytes, &options, None)
}

/// Decodes an image of the size in `header`.
///
/// # Shapes
/// (H, W, 3) or (H, W, 4) u8, as `options.pixels` says; H and W are [`Scale::of`] the sides in the header.
pub(crate) fn decode(bytes: &[u8], header: Header, options: &Options) -> Result<Vec<u8>, Fault> {
    let [height, width] = [header.height, header.width].map(|side| options.scale.of(side) as usize);
    let size = width.checked_mul(height);
    let size = size.and_then(|size| size.checked_mul(options.pixels as usize)).ok_or(Fault::Memory)?;
    let mut out = Vec::new();
    out.try_reserve_exact(size).map_err(|_| Fault::Memory)?;
    out.resize(size, 0);
    run(bytes, options, Some(&mut out))?;
    Ok(out)
}

fn run(bytes: &[u8], options: &Options, out: Option<&mut [u8]>) -> Result<Header, Fault> {
    let mut header = Header::default();
    let mut message = [0_u8; MESSAGE];
    let (start, length) = out.map_or((std::ptr::null_mut(), 0), |out| (out.as_mut_ptr(), out.len()));
    // SAFETY: C reads `bytes.len()` bytes, writes `length` bytes to `start` only if the image has exactly that size, one
    // `Header` and at most `MESSAGE` bytes of text. It keeps no pointer, and no longjmp leaves it.
    let code = unsafe {
        sc_jpeg_decode(
            bytes.as_ptr(),
            bytes.len(),
            options,
            &raw mut header,
            start,
            length,
            message.as_mut_ptr().cast(),
        )
    };
    check(code, &message, options.max_scans).map(|()| header)
}

/// Encodes RGB pixels as a baseline JPEG with 4:2:0 chroma, byte for byte as Pillow does.
///
/// # Shapes
/// `pixels`: (height, width, 3) u8; sides from 1 to 65,500, `quality` from 1 to 100.
pub(crate) fn encode(pixels: &[u8], height: u32, width: u32, quality: u32) -> Result<Vec<u8>, Fault> {
    if pixels.len() != height as usize * width as usize * 3 {
        return Err(Fault::Broken(format!("{} bytes are no {height} x {width} RGB pixels", pixels.len())));
    }
    // the bound of TurboJPEG's tjBufSize without subsampling
    let mut out = vec![0; width.next_multiple_of(16) as usize * height.next_multiple_of(16) as usize * 3 + 2048];
    let (mut length, mut message) = (out.len(), [0_u8; MESSAGE]);
    // SAFETY: C reads height x width x 3 bytes, which were counted above, writes at most `length` bytes and `MESSAGE`
    // bytes of text, and keeps no pointer.
    let code = unsafe {
        sc_jpeg_encode(
            pixels.as_ptr(),
            width,
            height,
            quality,
            out.as_mut_ptr(),
            &raw mut length,
            message.as_mut_ptr().cast(),
        )
    };
    check(code, &message, 0)?;
    out.truncate(length);
    Ok(out)
}

/// The numbers of `shim.c`.
fn check(code: c_int, message: &[u8], max_scans: u64) -> Result<(), Fault> {
    match code {
        0 => Ok(()),
        2 => Err(Fault::Cut),
        3 => Err(Fault::Scans(max_scans)),
        4 => Err(Fault::Memory),
        _ => {
            let text = message.split(|byte| *byte == 0).next().unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            Err(match code {
                5 => Fault::Unsupported(text),
                6 => Fault::TooLarge(text),
                _ => Fault::Broken(text),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Options = Options {
        coded: Coded::AsMarked,
        pixels: Pixels::Rgb,
        scale: Scale::Whole,
        max_scans: 100,
        max_memory: 64 << 20,
    };

    /// 45 x 33 pixels of slopes, encoded.
    fn file() -> Vec<u8> {
        let slopes = (0..33_u32).flat_map(|y| (0..45).flat_map(move |x| [x * 5, y * 7, x + y].map(|v| v as u8)));
        encode(&slopes.collect::<Vec<_>>(), 33, 45, 95).unwrap()
    }

    fn read(bytes: &[u8], options: &Options) -> Result<Vec<u8>, Fault> {
        decode(bytes, header(bytes)?, options)
    }

    #[test]
    fn every_cut_file_is_refused() {
        let file = file();
        assert_eq!(read(&file, &ROOM).unwrap().len(), 45 * 33 * 3);
        for end in 0..file.len() - 2 {
            assert_eq!(read(&file[..end], &ROOM), Err(Fault::Cut), "cut at {end} of {}", file.len());
        }
    }

    #[test]
    fn every_scale_rounds_its_sides_up_and_refuses_every_cut_file() {
        let file = file();
        for (scale, length) in [(Scale::Half, 23 * 17), (Scale::Quarter, 12 * 9), (Scale::Eighth, 6 * 5)] {
            let options = Options { scale, ..ROOM };
            assert_eq!(read(&file, &options).unwrap().len(), length * 3);
            assert!((0..file.len() - 2).all(|end| read(&file[..end], &options) == Err(Fault::Cut)), "{scale:?}");
        }
    }

    #[test]
    fn tables_in_a_file_of_their_own_are_used() {
        let file = file();
        let frame = file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        let split = [&file[..frame], &[0xFF, 0xD9, 0xFF, 0xD8], &file[frame..]].concat();
        assert_eq!(read(&split, &Options { coded: Coded::YCbCr, ..ROOM }), read(&file, &ROOM));
        assert_ne!(read(&file, &Options { coded: Coded::Rgb, ..ROOM }), read(&file, &ROOM));
    }

    #[test]
    fn a_wrong_number_of_components_is_an_error() {
        let cmyk = Options { pixels: Pixels::Cmyk, ..ROOM };
        assert_eq!(read(&file(), &cmyk), Err(Fault::Unsupported("Unsupported color conversion request".to_owned())));
    }

    #[test]
    fn a_buffer_of_another_size_is_refused_not_overrun() {
        let small = Header { width: 44, height: 33, components: 3 };
        assert!(matches!(decode(&file(), small, &ROOM), Err(Fault::Broken(_))));
    }
}
