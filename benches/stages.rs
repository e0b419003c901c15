//! The stages of the data flow, one core each. Resizing is measured beside `fast_image_resize`, which is not Pillow's
//! bit for bit.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/bombs/files.rs"]
#[allow(dead_code)] // the tests use all of it
mod files;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fast_image_resize as other;
use sparkcider::image::RgbImage;
use sparkcider::image::decode::{DecodeOptions, decode};
use sparkcider::image::resize::{Filter, ResizeOptions, Resizer};
use sparkcider::tensor::{ColorOrder, Layout, Normalization, TensorWriter};

/// (height, width) in, side out: a fruit, a web photo, a photo of nine megapixels, a thumbnail for the model `pixels`.
const SIZES: [(u32, u32, u32); 4] = [(100, 100, 224), (375, 500, 224), (2250, 4000, 224), (100, 100, 20)];

const FILTERS: [(Filter, other::FilterType); 3] = [
    (Filter::Bilinear, other::FilterType::Bilinear),
    (Filter::Bicubic, other::FilterType::CatmullRom),
    (Filter::Lanczos, other::FilterType::Lanczos3),
];

fn photo(height: u32, width: u32) -> RgbImage {
    let levels = (0..height * width * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
    RgbImage::new(height, width, levels.collect()).unwrap()
}

fn resize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resize");
    for (height, width, side) in SIZES {
        let image = photo(height, width);
        let source = other::images::ImageRef::new(width, height, image.pixels(), other::PixelType::U8x3).unwrap();
        for (filter, other_filter) in FILTERS {
            let name = format!("{filter} {height}x{width} to {side}x{side}");
            let mut resizer = Resizer::default();
            let target = ResizeOptions { filter, ..ResizeOptions::new(side, side) }.check().unwrap();
            group.bench_with_input(BenchmarkId::new("sparkcider", &name), &image, |bencher, image| {
                bencher.iter(|| resizer.fit(image, &target).unwrap());
            });
            let mut resizer = other::Resizer::new();
            let options = other::ResizeOptions::new().resize_alg(other::ResizeAlg::Convolution(other_filter));
            group.bench_with_input(BenchmarkId::new("fast_image_resize", &name), &source, |bencher, source| {
                bencher.iter(|| {
                    let mut out = other::images::Image::new(side, side, other::PixelType::U8x3);
                    resizer.resize(source, &mut out, &options).unwrap();
                    out
                });
            });
        }
    }
}

fn tensor(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tensor");
    let image = photo(224, 224);
    let mut values = vec![0.0; image.pixels().len()];
    group.throughput(Throughput::Bytes(image.pixels().len() as u64));
    for layout in [Layout::Nchw, Layout::Nhwc] {
        let writer = TensorWriter::new(layout, ColorOrder::Rgb, Normalization::Torch).unwrap();
        group.bench_function(format!("{layout} 224x224"), |bencher| {
            bencher.iter(|| writer.write(&image, &mut values).unwrap());
        });
    }
}

/// The files that take the longest for their size, of those that are accepted (docs/reliability.md).
fn hostile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hostile");
    group.sample_size(10);
    let coefficients = files::bombs().into_iter().find(|bomb| bomb.name == "coefficients.jpg").unwrap().bytes;
    for (name, bytes) in
        [("169 megapixels of coefficients", coefficients), ("16,384 JPEG tiles", files::jpeg_tiles(1 << 14))]
    {
        group.bench_function(name, |bencher| bencher.iter(|| decode(&bytes, &DecodeOptions::default()).unwrap()));
    }
}

criterion_group!(stages, resize, tensor, hostile);
criterion_main!(stages);
