//! The files of `bombs.rs`, each built from its format's own specification.

use std::io::{Cursor, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// A hostile file, and what must become of it.
pub struct Bomb {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// The limit that it is decoded with.
    pub max_pixels: u64,
    /// Pixels that its header states, where they are within the limit.
    pub pixels: u64,
    /// Words of the reason for its refusal; `None` for a file that is decoded.
    pub expected: Option<&'static str>,
}

/// Pillow's limit.
const DEFAULT: u64 = 178_956_970;

pub fn bombs() -> Vec<Bomb> {
    let bomb = |name, bytes, pixels, expected| Bomb { name, bytes, max_pixels: DEFAULT, pixels, expected };
    let gigabyte = zlib_zeros(1 << 30);
    let small = 13 * 17;
    vec![
        bomb("sides.jpg", jpeg_of("RGB.jpg", 0xC0, 65_500), 0, Some("over the limit")),
        bomb("coefficients.jpg", jpeg_of("RGB_progressive.jpg", 0xC2, 13_000), 13_000 * 13_000, None),
        bomb("scans.jpg", many_scans(500), small, Some("more than 100 scans")),
        bomb("icc.jpg", jpeg_with_icc(), small, None),
        bomb("sides.png", png(u32::from(u16::MAX), u32::from(u16::MAX), &[]), 0, Some("over the limit")),
        bomb("row.png", png(1 << 27, 1, &[]), 0, Some("a side of")),
        bomb("zlib.png", png(17, 13, &[(b"IDAT", &gigabyte)]), small, None),
        bomb("icc.png", png_with(b"iCCP", &[b"icc\0\0", &gigabyte[..]].concat()), small, None),
        bomb("text.png", png_with(b"zTXt", &[b"Raw profile type exif\0\0", &gigabyte[..]].concat()), small, None),
        bomb("frames.gif", many_frames(), small, None),
        bomb("frames.webp", many_webp_frames(), small, None),
        bomb("exif.webp", webp_with(*b"EXIF", 0xFFFF_FFF0), small, None),
        bomb("icc.webp", webp_with(*b"ICCP", 0xFFFF_FFF0), small, None),
        bomb("canvas.webp", webp_frame_larger_than_its_canvas(), 1, Some("on a canvas of 1 x 1")),
        bomb("rle.bmp", rle_bmp(13_000), 13_000 * 13_000, Some("end of data")),
        bomb("sides.ico", icon(&png(u32::from(u16::MAX), u32::from(u16::MAX), &[]), 32), 0, Some("over the limit")),
        bomb("rle.ico", icon(&bitmap(&rle_bmp(13_000)), 8), 13_000 * 13_000, Some("end of data")),
        bomb("entries.ico", many_entries(), small, None),
        bomb("sides.qoi", qoi(u32::MAX, u32::MAX, &[]), 0, Some("over the limit")),
        bomb("nothing.qoi", qoi(13_000, 13_000, &[0xFD; 16]), 0, Some("end of data")),
        bomb("runs.qoi", qoi(13_000, 13_000, &vec![0xFD; 13_000 * 13_000 / 62 + 1]), 13_000 * 13_000, None),
        bomb("tiles.tif", many_tiles(), 1 << 20, Some("1048576 values")),
        bomb("counts.tif", tiff(&[(256, 4, 1, 9), (257, 4, 1, 9), (273, 1, 8 << 20, 8)]), 0, Some("8388608 values")),
        bomb("samples.tif", strip(1 << 20, 1, 1, 60_000, 64), 1 << 20, Some("60000 samples")),
        bomb("tile.tif", one_tile(1 << 31, 16), 1, Some("tiles of 2147483648 x 16")),
        bomb("floats.tif", strip(8_000, 8_000, 1, 3, 64), 64_000_000, Some("imit")),
        bomb("jpeg-tiles.tif", jpeg_tiles(1 << 18), 1 << 18, Some("strips or tiles of")),
        bomb("fewer-jpeg-tiles.tif", jpeg_tiles(1 << 14), 1 << 14, None),
        Bomb { max_pixels: 352_000, ..bomb("jpeg.tif", jpeg_in_tiff(), 352_000, Some("a JPEG of 22000 x 22000")) },
    ]
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/decode").join(name)).unwrap()
}

/// `length` zeros as a zlib stream, a thousandth as long.
fn zlib_zeros(length: usize) -> Vec<u8> {
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
    let block = vec![0; 1 << 20];
    for _ in 0..length >> 20 {
        stream.write_all(&block).unwrap();
    }
    stream.finish().unwrap()
}

/// Where the marker 0xFF `marker` first stands.
fn marker(jpeg: &[u8], marker: u8) -> usize {
    jpeg.windows(2).position(|pair| pair == [0xFF, marker]).unwrap()
}

/// A fixture whose frame header states another size.
fn jpeg_of(name: &str, frame: u8, side: u16) -> Vec<u8> {
    let mut jpeg = fixture(name);
    let at = marker(&jpeg, frame) + 5;
    jpeg[at..at + 2].copy_from_slice(&side.to_be_bytes());
    jpeg[at + 2..at + 4].copy_from_slice(&side.to_be_bytes());
    jpeg
}

/// A progressive file whose first scan is there `n` times more.
fn many_scans(n: usize) -> Vec<u8> {
    let jpeg = fixture("RGB_progressive.jpg");
    let start = marker(&jpeg, 0xDA);
    let end = start + 2 + jpeg[start + 2..].windows(2).position(|pair| matches!(pair, [0xFF, 0xC4 | 0xDA])).unwrap();
    [&jpeg[..start], &jpeg[start..end].repeat(n), &jpeg[start..]].concat()
}

/// A file with the 255 segments of 64 kB that a colour profile may have.
fn jpeg_with_icc() -> Vec<u8> {
    let jpeg = fixture("RGB.jpg");
    let mut segment = vec![0xFF, 0xE2, 0xFF, 0xFF];
    segment.extend(b"ICC_PROFILE\0\x01\xFF");
    segment.resize(2 + 0xFFFF, 0);
    [&jpeg[..2], &segment.repeat(255), &jpeg[2..]].concat()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let named = [kind, data].concat();
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &named, &crc(&named).to_be_bytes()].concat()
}

/// A PNG of 8-bit RGB with these chunks between header and end.
fn png(width: u32, height: u32, chunks: &[(&[u8], &[u8])]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
    file.extend(chunk(b"IHDR", &header));
    for (kind, data) in chunks {
        file.extend(chunk(kind, data));
    }
    file.extend(chunk(b"IEND", b""));
    file
}

/// A small PNG with one more chunk before its pixels.
fn png_with(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::best());
    pixels.write_all(&[0; 13 * (1 + 17 * 3)]).unwrap();
    png(17, 13, &[(kind, data), (b"IDAT", &pixels.finish().unwrap())])
}

fn many_frames() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, 17, 13, &[0, 0, 0, 255, 255, 255]).unwrap();
    for _ in 0..50_000 {
        encoder.write_frame(&gif::Frame::from_indexed_pixels(17, 13, vec![1; 13 * 17], None)).unwrap();
    }
    drop(encoder);
    file
}

/// A RIFF file of WebP chunks: name, stated size, data.
fn webp(chunks: &[([u8; 4], u32, Vec<u8>)]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, size, data) in chunks {
        body.extend(name);
        body.extend(size.to_le_bytes());
        body.extend(data);
    }
    [&b"RIFF"[..], &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
}

/// The header chunk of an extended file; `flags` are those of the container specification.
fn extended(flags: u8, width: u32, height: u32) -> ([u8; 4], u32, Vec<u8>) {
    let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
    (*b"VP8X", 10, [vec![flags, 0, 0, 0], side(width), side(height)].concat())
}

/// The pixels of a small lossless file, as a chunk.
fn lossless() -> ([u8; 4], u32, Vec<u8>) {
    let mut file = Vec::new();
    let pixels = [90; 13 * 17 * 3];
    image_webp::WebPEncoder::new(&mut file).encode(&pixels, 17, 13, image_webp::ColorType::Rgb8).unwrap();
    let size = u32::from_le_bytes(file[16..20].try_into().unwrap());
    (*b"VP8L", size, file[20..].to_vec())
}

/// A file whose last chunk states a size that it does not have.
fn webp_with(name: [u8; 4], size: u32) -> Vec<u8> {
    let flags = if name == *b"EXIF" { 8 } else { 32 };
    webp(&[extended(flags, 17, 13), lossless(), (name, size, vec![0; 16])])
}

fn many_webp_frames() -> Vec<u8> {
    let (name, size, data) = lossless();
    let mut frame = [0; 16].to_vec(); // at the corner, 1 ms
    frame[6..9].copy_from_slice(&[16, 0, 0]);
    frame[9..12].copy_from_slice(&[12, 0, 0]);
    frame.extend(name);
    frame.extend(size.to_le_bytes());
    frame.extend(data);
    let frame = (*b"ANMF", u32::try_from(frame.len()).unwrap(), frame);
    let mut chunks = vec![extended(2, 17, 13), (*b"ANIM", 6, vec![0; 6])];
    chunks.extend(vec![frame; 50_000]);
    webp(&chunks)
}

/// A lossy frame of 16,383 x 16,383 pixels in a file that states 1 x 1.
fn webp_frame_larger_than_its_canvas() -> Vec<u8> {
    let header = [0x10, 0, 0, 0x9D, 0x01, 0x2A, 0xFF, 0x3F, 0xFF, 0x3F];
    webp(&[extended(0, 1, 1), (*b"VP8 ", 1000, [&header[..], &[0; 990]].concat())])
}

fn rle_bmp(side: u32) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    file.extend([[0; 4], [0; 4], 1078_u32.to_le_bytes(), 40_u32.to_le_bytes(), side.to_le_bytes()].concat());
    file.extend(side.to_le_bytes());
    file.extend([1, 0, 8, 0, 1, 0, 0, 0]);
    file.resize(1078 + 16, 0);
    file
}

/// An icon or cursor of one image, which its directory gives `bits` per pixel.
fn icon(image: &[u8], bits: u16) -> Vec<u8> {
    let size = u32::try_from(image.len()).unwrap();
    [&b"\0\0\x01\0\x01\0\0\0\0\0\x01\0"[..], &bits.to_le_bytes(), &size.to_le_bytes(), &[22, 0, 0, 0], image].concat()
}

/// A BMP as an icon holds it: without its file header, with twice the height.
fn bitmap(bmp: &[u8]) -> Vec<u8> {
    let mut bitmap = bmp[14..].to_vec();
    let height = u32::from_le_bytes(bitmap[8..12].try_into().unwrap());
    bitmap[8..12].copy_from_slice(&(height * 2).to_le_bytes());
    bitmap
}

/// An icon of 65,535 images that are all the same.
fn many_entries() -> Vec<u8> {
    let mut file = fixture("RGB.ico");
    let at = u32::from(u16::MAX) * 16 + 6;
    file[18..22].copy_from_slice(&at.to_le_bytes());
    [b"\0\0\x01\0\xFF\xFF", &file[6..22].repeat(usize::from(u16::MAX))[..], &file[22..]].concat()
}

/// A QOI of four channels with this data.
fn qoi(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    [&b"qoif"[..], &width.to_be_bytes(), &height.to_be_bytes(), &[4, 0], data].concat()
}

/// A TIFF of these entries: tag, type, count, value. Offsets count from its start; data follow the directory.
fn tiff(entries: &[(u16, u16, u32, u32)]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}

/// A megapixel in tiles of one pixel that share their bytes.
fn many_tiles() -> Vec<u8> {
    let n = 1 << 20;
    let entries = |at| {
        [(256, 4, 1, 1024), (257, 4, 1, 1024), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (322, 4, 1, 1)]
            .into_iter()
            .chain([(323, 4, 1, 1), (324, 4, n, at), (325, 4, n, at)])
            .collect::<Vec<_>>()
    };
    let at = tiff(&entries(0)).len();
    let mut file = tiff(&entries(u32::try_from(at).unwrap()));
    file.extend([1, 0, 0, 0].repeat(n as usize));
    file
}

/// A deflated image of zeros in one strip; `format` is 1 for integers, 3 for floats.
fn strip(width: u32, height: u32, format: u32, samples: u32, bits: u32) -> Vec<u8> {
    let data = zlib_zeros(1 << 20);
    let size = u32::try_from(data.len()).unwrap();
    let entries = |at| {
        [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 8), (262, 3, 1, 2)]
            .into_iter()
            .chain([(273, 4, 1, at), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, size)])
            .chain([(339, 3, 1, format)])
            .collect::<Vec<_>>()
    };
    let at = u32::try_from(tiff(&entries(0)).len()).unwrap();
    [tiff(&entries(at)), data].concat()
}

/// One pixel in a tile of another size.
fn one_tile(width: u32, height: u32) -> Vec<u8> {
    let entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 1), (317, 3, 1, 3)];
    let tile = [(322, 4, 1, width), (323, 4, 1, height), (324, 4, 1, 8), (325, 4, 1, 8), (339, 3, 1, 3)];
    tiff(&[&entries[..], &tile].concat())
}

/// A strip of 22,000 x 16 pixels whose JPEG states 22,000 x 22,000.
fn jpeg_in_tiff() -> Vec<u8> {
    let jpeg = jpeg_of("L.jpg", 0xC0, 22_000);
    let size = u32::try_from(jpeg.len()).unwrap();
    let entries = |at| {
        [(256, 4, 1, 22_000), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 7), (262, 3, 1, 1)]
            .into_iter()
            .chain([(273, 4, 1, at), (277, 3, 1, 1), (278, 4, 1, 16), (279, 4, 1, size)])
            .collect::<Vec<_>>()
    };
    let at = u32::try_from(tiff(&entries(0)).len()).unwrap();
    [tiff(&entries(at)), jpeg].concat()
}

/// `n` pixels in tiles of one pixel, all of them the same JPEG.
pub fn jpeg_tiles(n: u32) -> Vec<u8> {
    let jpeg = sparkcider::image::encode_jpeg(&[90; 3], 1, 1, 50).unwrap();
    let jpeg_len = u32::try_from(jpeg.len()).unwrap();
    let side = n.isqrt();
    let entries = |at: u32| {
        [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 7), (262, 3, 1, 6), (277, 3, 1, 3)]
            .into_iter()
            .chain([(322, 4, 1, 1), (323, 4, 1, 1), (324, 4, n, at), (325, 4, n, at + 4 * n)])
            .collect::<Vec<_>>()
    };
    let at = u32::try_from(tiff(&entries(0)).len()).unwrap();
    let mut file = tiff(&entries(at));
    file.extend((at + 8 * n).to_le_bytes().repeat(n as usize));
    file.extend(jpeg_len.to_le_bytes().repeat(n as usize));
    file.extend(jpeg);
    file
}

/// The size of the large images: 24 megapixels, as many cameras take.
pub const WIDTH: u16 = 6_000;
pub const HEIGHT: u16 = 4_000;

/// Large images in the kinds of pixels that take the most memory on their way.
pub fn large() -> Vec<(&'static str, Vec<u8>)> {
    let (width, height) = (u32::from(WIDTH), u32::from(HEIGHT));
    let pixels = usize::from(WIDTH) * usize::from(HEIGHT);
    let mut files = vec![("bits24.bmp", bmp(24)), ("bits1.bmp", bmp(1)), ("16-bit.tif", strip_of_zeros(4, 16))];
    files.push(("floats.tif", strip_of_zeros(1, 32)));
    files.push(("8-bit.tif", strip_of_zeros(3, 8)));
    let jpeg = sparkcider::image::encode_jpeg(&vec![120; pixels * 3], height as usize, width as usize, 80).unwrap();
    files.push(("baseline.jpg", jpeg));
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header().unwrap().write_image_data(&vec![7; pixels * 8]).unwrap();
    files.push(("rgba16.png", png));
    let mut gif = Vec::new();
    let mut encoder = gif::Encoder::new(&mut gif, WIDTH, HEIGHT, &[0, 0, 0, 255, 255, 255]).unwrap();
    encoder.write_frame(&gif::Frame::from_indexed_pixels(WIDTH, HEIGHT, vec![1; pixels], None)).unwrap();
    drop(encoder);
    files.push(("palette.gif", gif));
    let mut webp = Cursor::new(Vec::new());
    let rgba = vec![60; pixels * 4];
    image_webp::WebPEncoder::new(&mut webp).encode(&rgba, width, height, image_webp::ColorType::Rgba8).unwrap();
    files.push(("lossless.webp", webp.into_inner()));
    let mask = vec![0; width.div_ceil(32) as usize * 4 * height as usize];
    files.push(("bitmap.ico", icon(&[bitmap(&bmp(24)), mask].concat(), 24)));
    files.push(("pixels.qoi", qoi(width, height, &b"\xFE\x01\x02\x03\xFF\x03\x02\x01\x80".repeat(pixels / 2))));
    files
}

/// A bottom-up BMP of zeros.
fn bmp(bits: u16) -> Vec<u8> {
    let (width, height) = (u32::from(WIDTH), u32::from(HEIGHT));
    let stride = (width * u32::from(bits)).div_ceil(32) * 4;
    let palette = if bits <= 8 { 4 << bits } else { 0 };
    let mut file = b"BM".to_vec();
    file.extend([[0; 4], [0; 4], (54_u32 + palette).to_le_bytes(), 40_u32.to_le_bytes()].concat());
    file.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
    file.extend([1, 0]);
    file.extend(bits.to_le_bytes());
    file.resize((54 + palette + stride * height) as usize, 0);
    file
}

/// A deflated TIFF of zeros in one strip.
fn strip_of_zeros(samples: u32, bits: u32) -> Vec<u8> {
    let (width, height) = (u32::from(WIDTH), u32::from(HEIGHT));
    let data = zlib_zeros((width * height * samples * bits / 8).next_multiple_of(1 << 20) as usize);
    let size = u32::try_from(data.len()).unwrap();
    let photometric = if samples == 1 { 1 } else { 2 };
    let format = if bits == 32 { 3 } else { 1 };
    let entries = |at| {
        [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 8), (262, 3, 1, photometric)]
            .into_iter()
            .chain([(273, 4, 1, at), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, size)])
            .chain([(339, 3, 1, format)])
            .collect::<Vec<_>>()
    };
    let at = u32::try_from(tiff(&entries(0)).len()).unwrap();
    [tiff(&entries(at)), data].concat()
}
