//! GIF: the first frame on its screen.

use gif::{DecodeOptions as GifOptions, Decoder, DecodingError, MemoryLimit};

use super::colour;
use super::format::{Format, kind_of_io};
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::image::RgbImage;
use crate::{Error, ErrorKind, Result};

/// What stands before the first frame's data.
struct Start<'a> {
    decoder: Decoder<&'a [u8]>,
    height: usize,
    width: usize,
    top: usize,
    left: usize,
    frame_height: usize,
    frame_width: usize,
    transparent: Option<u8>,
}

impl<'a> Start<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut gif = GifOptions::new();
        gif.allow_unknown_blocks(true);
        gif.set_memory_limit(MemoryLimit::Unlimited); // the frame goes into our own buffer, behind the check of its size
        let mut decoder = gif.read_info(bytes).map_err(fault)?;
        let (screen_height, screen_width) = (usize::from(decoder.height()), usize::from(decoder.width()));
        let frame = decoder.next_frame_info().map_err(fault)?;
        let frame = frame.ok_or_else(|| Format::Gif.damaged("there is no frame"))?;
        let (top, left) = (usize::from(frame.top), usize::from(frame.left));
        let (frame_height, frame_width) = (usize::from(frame.height), usize::from(frame.width));
        let transparent = frame.transparent;
        // A frame that reaches beyond the screen makes it larger, as in Pillow.
        let (height, width) = (screen_height.max(top + frame_height), screen_width.max(left + frame_width));
        Ok(Self { decoder, height, width, top, left, frame_height, frame_width, transparent })
    }
}

/// (height, width) as the header and the first frame's state them.
pub(super) fn size(bytes: &[u8]) -> Result<(u64, u64)> {
    Start::read(bytes).map(|start| (start.height as u64, start.width as u64))
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let Start { mut decoder, height, width, top, left, frame_height, frame_width, transparent } = Start::read(bytes)?;
    options.limits.memory_for(Format::Gif, height as u64, width as u64)?;

    let mut frame_indices = vec![0; frame_height * frame_width];
    decoder.read_into_buffer(&mut frame_indices).map_err(fault)?;
    let palette: Vec<[u8; 3]> = colour::pixels(decoder.palette().map_err(fault)?).collect();
    let indices = if (frame_height, frame_width) == (height, width) {
        frame_indices
    } else {
        // Pillow fills the screen with the transparent index, or else with index 0.
        let mut screen = vec![transparent.unwrap_or(0); height * width];
        for (row, from) in frame_indices.chunks_exact(frame_width.max(1)).enumerate() {
            let start = (top + row) * width + left;
            screen[start..start + frame_width].copy_from_slice(from);
        }
        screen
    };
    let palette = with_background(palette, transparent, options.background);
    let pixels = colour::from_palette(&indices, &palette);
    Ok((RgbImage::new(height as u32, width as u32, pixels)?, Orientation::UPRIGHT))
}

/// The palette with the transparent index replaced by the background; unchanged if alpha is dropped.
fn with_background(mut palette: Vec<[u8; 3]>, transparent: Option<u8>, background: Option<[u8; 3]>) -> Vec<[u8; 3]> {
    if let (Some(index), Some(background)) = (transparent.map(usize::from), background) {
        palette.resize(palette.len().max(index + 1), [0; 3]);
        palette[index] = background;
    }
    palette
}

fn fault(error: DecodingError) -> Error {
    let kind = match &error {
        DecodingError::UnexpectedEof => ErrorKind::Truncated,
        DecodingError::Io(error) => kind_of_io(error),
        DecodingError::OutOfMemory | DecodingError::MemoryLimit => ErrorKind::TooLarge,
        _ => ErrorKind::Damaged,
    };
    Format::Gif.fault(kind, error)
}
