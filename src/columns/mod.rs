//! Arrow columns in and out: encoded images to features, features to moments, coordinates and back.

mod features;
mod images;
mod lists;
mod table;

pub use features::{inverse_transform, reconstruction_error, transform, update_moments, update_sketch};
pub use images::{binary_rows, extract, extract_with_previews, header_pixels};
pub use lists::{FloatRows, float_rows};
pub use table::only_column;
