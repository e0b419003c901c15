//! Every kind of pixel to RGB, by Pillow's integer formulas. Slices hold whole pixels, interleaved, row-major.

/// `a * b / 255`, rounded, as Pillow's `MULDIV255` computes it.
fn multiply(a: u8, b: u8) -> u8 {
    divide_by_255(u32::from(a) * u32::from(b))
}

/// `value / 255`, rounded, for values up to 255 * 255 (Pillow's `DIV255`).
#[allow(clippy::cast_possible_truncation)] // at most 255 by the bound on `value`
fn divide_by_255(value: u32) -> u8 {
    let value = value + 128;
    (((value >> 8) + value) >> 8) as u8
}

/// `colour` over `background`, as Pillow's `Image.paste` with a mask mixes them.
fn lay_over(colour: [u8; 3], alpha: u8, background: [u8; 3]) -> [u8; 3] {
    let mix = |over: u8, under: u8| {
        divide_by_255(u32::from(under) * u32::from(255 - alpha) + u32::from(over) * u32::from(alpha))
    };
    [mix(colour[0], background[0]), mix(colour[1], background[1]), mix(colour[2], background[2])]
}

/// Drops the alpha of a pixel, or lays it over the background.
pub(super) fn without_alpha(colour: [u8; 3], alpha: u8, background: Option<[u8; 3]>) -> [u8; 3] {
    background.map_or(colour, |background| lay_over(colour, alpha, background))
}

/// (.., 1) grey to RGB.
pub(super) fn from_grey(samples: &[u8]) -> Vec<u8> {
    flat(samples.iter().map(|&grey| [grey; 3]))
}

/// (.., 2) grey and alpha to RGB.
pub(super) fn from_grey_alpha(samples: &[u8], background: Option<[u8; 3]>) -> Vec<u8> {
    flat(pixels(samples).map(|[grey, alpha]| without_alpha([grey; 3], alpha, background)))
}

/// (.., 4) RGB and alpha to RGB.
pub(super) fn from_rgba(samples: &[u8], background: Option<[u8; 3]>) -> Vec<u8> {
    flat(pixels(samples).map(|[r, g, b, alpha]| without_alpha([r, g, b], alpha, background)))
}

/// (.., 4) colours that were multiplied by their alpha to plain ones, rounded down, as Pillow unpacks `RGBa`.
#[allow(clippy::cast_possible_truncation)] // at most 255
pub(super) fn divide_by_alpha(samples: &mut [u8]) {
    for [colour @ .., alpha] in samples.as_chunks_mut::<4>().0 {
        let plain = |value: u8| (u32::from(value) * 255).checked_div(u32::from(*alpha)).unwrap_or(0).min(255) as u8;
        *colour = colour.map(plain);
    }
}

/// (.., 4) CMYK to RGB by Pillow's `cmyk2rgb`; 255 is full ink.
pub(super) fn from_cmyk(samples: &[u8]) -> Vec<u8> {
    let light = |ink: u8, white: u8| white - multiply(ink, white);
    flat(pixels(samples).map(|[c, m, y, k]| [c, m, y].map(|ink| light(ink, 255 - k))))
}

/// (.., 3) full-range BT.601 YCbCr to RGB, as JPEG (and so JPEG in TIFF) defines it.
pub(super) fn from_ycbcr(samples: &[u8]) -> Vec<u8> {
    // libjpeg's 16-bit fixed-point constants: 1.402, 0.344136, 0.714136, 1.772.
    const HALF: i32 = 1 << 15;
    let level = |value: i32| u8::try_from(value.clamp(0, 255)).unwrap_or_default();
    flat(pixels(samples).map(|[y, cb, cr]| {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let green = (-22554 * cb - 46802 * cr + HALF) >> 16;
        [level(y + ((91881 * cr + HALF) >> 16)), level(y + green), level(y + ((116_130 * cb + HALF) >> 16))]
    }))
}

/// (.., 1) indices to RGB; an index past the palette is black, as in Pillow.
pub(super) fn from_palette(indices: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    let mut table = [[0; 3]; 256];
    for (entry, colour) in table.iter_mut().zip(palette) {
        *entry = *colour;
    }
    flat(indices.iter().map(|&index| table[usize::from(index)]))
}

/// The bytes of RGB pixels.
pub(super) fn flat(pixels: impl Iterator<Item = [u8; 3]>) -> Vec<u8> {
    pixels.collect::<Vec<_>>().into_flattened()
}

/// Whole pixels of `N` samples.
pub(super) fn pixels<const N: usize>(samples: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    samples.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_255_rounds_to_nearest() {
        for value in 0..=255 * 255_u32 {
            assert_eq!(u32::from(divide_by_255(value)), (value + 127) / 255, "{value}");
        }
    }

    #[test]
    fn cmyk_ends_are_white_and_black() {
        assert_eq!(from_cmyk(&[0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0]), [255, 255, 255, 0, 0, 0, 0, 255, 255]);
    }

    #[test]
    fn alpha_is_dropped_unless_there_is_a_background() {
        assert_eq!(from_rgba(&[10, 20, 30, 0], None), [10, 20, 30]);
        assert_eq!(from_rgba(&[10, 20, 30, 0], Some([1, 2, 3])), [1, 2, 3]);
        assert_eq!(from_grey_alpha(&[200, 128], Some([0, 0, 0])), [100, 100, 100]);
    }
}
