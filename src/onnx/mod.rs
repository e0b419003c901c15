//! Networks in ONNX: the file, its graph and metadata, and the session that runs it.

mod channels;
mod choice;
mod classifier;
mod cut;
mod evaluation;
mod external;
mod file;
mod graph;
mod input;
mod layers;
mod metadata;
mod network;
mod output;
mod proto;
mod runtime;
mod session;
mod slow;
mod tokens;
mod values;
mod weights;
mod wire;

pub use channels::map_layouts;
pub use choice::usual_output;
pub use classifier::classifier_doubt;
pub(crate) use file::ModelFile;
pub use graph::{Declared, Graph, GraphTensor};
pub(crate) use input::{InputSpec, image_len, input_len, input_size};
pub use layers::{Layer, layers};
pub(crate) use metadata::{Metadata, Origin, Said, describe};
pub(crate) use network::Network;
pub use runtime::Runtime;
pub use slow::slow_parts;
