//! Encoded bytes to RGB pixels, and RGB pixels to another size.

pub mod decode;
mod encode;
pub(crate) mod libjpeg;
pub mod resize;
mod rgb_image;

pub use encode::encode_jpeg;
pub use rgb_image::{MAX_SIDE, RgbImage};
