//! GIF: the first frame on its screen.

use std::fmt::Display;

use gif::{DecodeOptions as GifOptions, MemoryLimit};

use super::colour;
use super::format::Format;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::image::RgbImage;
use crate::{Error, Result};

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut gif = GifOptions::new();
    gif.allow_unknown_blocks(true);
    gif.set_memory_limit(MemoryLimit::Unlimited); // the frame goes into our own buffer, behind the check below
    let mut decoder = gif.read_info(bytes).map_err(fault)?;
    let (screen_height, screen_width) = (decoder.height(), decoder.width());
    let frame = decoder.next_frame_info().map_err(fault)?;
    let frame = frame.ok_or("there is no frame").map_err(fault)?;
    let (top, left) = (usize::from(frame.top), usize::from(frame.left));
    let (frame_height, frame_width) = (usize::from(frame.height), usize::from(frame.width));
    let transparent = frame.transparent;
    // A frame that reaches beyond the screen makes it larger, as in Pillow.
    let (height, width) =
        (usize::from(screen_height).max(top + frame_height), usize::from(screen_width).max(left + frame_width));
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

fn fault(reason: impl Display) -> Error {
    Format::Gif.fault(reason)
}
