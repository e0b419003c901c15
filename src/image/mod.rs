//! Encoded bytes to RGB pixels, and RGB pixels to another size, a thumbnail and a fingerprint.

pub mod decode;
mod encode;
pub(crate) mod libjpeg;
mod preview;
pub mod resize;
mod rgb_image;

pub use encode::encode_jpeg;
pub use preview::{Fingerprint, Previewer, THUMBNAIL_SIDE};
pub use rgb_image::{MAX_SIDE, RgbImage};
