//! Weights that are in files beside an ONNX file, put into its bytes: one file is one checksum, and one thing to send.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::Message;

use super::proto::TensorProto;
use super::wire::{
    ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS, ATTRIBUTE_TENSOR, Change, GRAPH_INITIALIZER, GRAPH_NODE, MODEL_GRAPH,
    NODE_ATTRIBUTE, TENSOR_EXTERNAL_DATA, TENSOR_RAW_DATA, edit,
};
use crate::{Error, Result};

/// Most bytes of an ONNX file: of a Protocol Buffers message.
const MAX_BYTES: u64 = i32::MAX as u64;

/// `data_location` DEFAULT (0) as the last field of a tensor: of a field that stands twice the last one counts.
const INSIDE: [u8; 2] = [14 << 3, 0];

/// The bytes `onnx` of the file at `path` with all values of its weights inside.
///
/// # Errors
/// [`Error::Model`] if a file of weights is not there, is too short or is outside the folder, or if one file cannot hold them all.
pub(super) fn whole(path: &Path, onnx: &[u8]) -> Result<Vec<u8>> {
    let mut weights = Weights { path, bytes: onnx.len() as u64, fault: None };
    let whole = edit(onnx, &mut |field, content| match field {
        MODEL_GRAPH => weights.graph(content),
        _ => Some(Change::Keep),
    });
    let damaged = || "cannot read ONNX graph: it is damaged".to_owned();
    whole.ok_or_else(|| Error::Model {
        model: path.display().to_string(),
        reason: weights.fault.take().unwrap_or_else(damaged),
    })
}

/// Reads the values of weights.
struct Weights<'a> {
    path: &'a Path,
    /// Of the file that is made, so far.
    bytes: u64,
    /// Why there is none.
    fault: Option<String>,
}

impl Weights<'_> {
    fn graph<'a>(&mut self, graph: &'a [u8]) -> Option<Change<'a>> {
        changed(edit(graph, &mut |field, content| match field {
            GRAPH_INITIALIZER => self.tensor(content),
            GRAPH_NODE => changed(edit(content, &mut |field, content| match field {
                NODE_ATTRIBUTE => self.attribute(content),
                _ => Some(Change::Keep),
            })),
            _ => Some(Change::Keep),
        }))
    }

    fn attribute<'a>(&mut self, attribute: &'a [u8]) -> Option<Change<'a>> {
        changed(edit(attribute, &mut |field, content| match field {
            ATTRIBUTE_TENSOR => self.tensor(content),
            ATTRIBUTE_GRAPH | ATTRIBUTE_GRAPHS => self.graph(content),
            _ => Some(Change::Keep),
        }))
    }

    fn tensor<'a>(&mut self, tensor: &'a [u8]) -> Option<Change<'a>> {
        let weight = TensorProto::decode(tensor).ok()?;
        if !weight.is_external() {
            return Some(Change::Keep);
        }
        let values = match self.values(&weight) {
            Ok(values) => values,
            Err(reason) => {
                self.fault = Some(format!("weight '{}': {reason}", weight.name));
                return None;
            }
        };
        let mut inside = edit(tensor, &mut |field, _| {
            Some(if field == TENSOR_EXTERNAL_DATA { Change::Drop } else { Change::Keep })
        })?;
        prost::encode_length_delimiter(TENSOR_RAW_DATA << 3 | 2, &mut inside).ok()?; // a varint, too
        prost::encode_length_delimiter(values.len(), &mut inside).ok()?;
        inside.extend(values);
        inside.extend(INSIDE);
        Some(Change::To(Cow::Owned(inside)))
    }

    /// The bytes of another file that a weight points to.
    fn values(&mut self, weight: &TensorProto) -> std::result::Result<Vec<u8>, String> {
        let number = |key: &str| match weight.external(key).map(|text| text.parse::<u64>()) {
            Some(Err(_)) => Err(format!("the {key} of its values is not a number")),
            found => Ok(found.and_then(std::result::Result::ok)),
        };
        let location = weight.external("location").ok_or("its values are in another file, which is not named")?;
        let path = self.located(&location)?;
        let read = |cause: io::Error| format!("cannot read {}: {cause}", path.display());
        let mut file = File::open(&path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or_else(|| size.saturating_sub(offset));
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!("its values end behind the end of {}, which has {size} bytes", path.display()));
        }
        self.bytes += length;
        if self.bytes > MAX_BYTES {
            return Err(format!(
                "the file and those beside it have more than {MAX_BYTES} bytes, and one ONNX file holds no more: export the \
                 network as float16, or as int8"
            ));
        }
        let mut values = vec![0; usize::try_from(length).unwrap_or(0)];
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut values)).map_err(read)?;
        Ok(values)
    }

    /// The file that a weight names: in the folder of the model, or of the file that the model is a link to, as in the cache of a
    /// hub.
    fn located(&self, location: &str) -> std::result::Result<PathBuf, String> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let is_below = Path::new(location).components().all(|part| matches!(part, Component::Normal(_)));
        let outside = || Err(format!("its values are in '{location}', which must be inside the folder of the model"));
        if location.is_empty() || !is_below {
            return outside();
        }
        let path = folder.join(location);
        if !path.is_file() {
            return Err(format!("its values are in '{location}', which is not beside the file: bring it there, too"));
        }
        let real =
            |path: &Path| path.canonicalize().map_err(|cause| format!("cannot find {}: {cause}", path.display()));
        let (file, model) = (real(&path)?, real(self.path)?);
        let folder = real(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
        let is_inside = file.starts_with(folder) || model.parent().is_some_and(|folder| file.starts_with(folder));
        if is_inside { Ok(path) } else { outside() }
    }
}

fn changed<'a>(message: Option<Vec<u8>>) -> Option<Change<'a>> {
    message.map(|message| Change::To(Cow::Owned(message)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::onnx::proto::{EXTERNAL, StringStringEntryProto, WholeTensorProto};
    use crate::onnx::wire::replace;

    const ONNX: &[u8] = include_bytes!("../../tests/data/tiny_nchw.onnx");

    fn each_weight(onnx: &[u8], change: &mut dyn FnMut(WholeTensorProto) -> WholeTensorProto) -> Vec<u8> {
        let mut weight = |weight| Some(Cow::Owned(change(WholeTensorProto::decode(weight).unwrap()).encode_to_vec()));
        replace(onnx, MODEL_GRAPH, &mut |graph| replace(graph, GRAPH_INITIALIZER, &mut weight).map(Cow::Owned)).unwrap()
    }

    /// The bytes of the network with its weights in `file`, which has `values` of them after a gap.
    fn split(file: &Path, location: &str, values: usize) -> Vec<u8> {
        each_weight(ONNX, &mut |full| {
            let length = full.raw_data.len();
            fs::write(file, [&[0; 8], &full.raw_data[..values.min(length)]].concat()).unwrap();
            let external_data =
                [("location", location.to_owned()), ("offset", "8".to_owned()), ("length", length.to_string())];
            let external_data = external_data.map(|(key, value)| StringStringEntryProto::new(key, value)).into();
            WholeTensorProto { raw_data: Vec::new(), external_data, data_location: EXTERNAL, ..full }
        })
    }

    #[test]
    fn values_come_inside_and_what_is_missing_is_named() {
        let folder = std::env::temp_dir().join(format!("sparkcider-external-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (model, data) = (folder.join("model.onnx"), folder.join("data"));
        fs::write(&model, "").unwrap();
        let whole = |onnx: &[u8]| whole(&model, onnx).map_err(|error| error.to_string());

        let (mut before, mut after) = (Vec::new(), Vec::new());
        each_weight(ONNX, &mut |full| {
            before.push((full.name.clone(), full.raw_data.clone()));
            full
        });
        each_weight(&whole(&split(&data, "data", usize::MAX)).unwrap(), &mut |full| {
            assert!(full.external_data.is_empty() && full.data_location == 0);
            after.push((full.name.clone(), full.raw_data.clone()));
            full
        });
        assert_eq!(before, after);
        assert_eq!(whole(ONNX).unwrap(), ONNX, "without such weights it is what it was");

        assert!(whole(&split(&data, "data", 3)).unwrap_err().contains("its values end behind the end of "));
        for outside in ["../data", "", "/data", "./../data"] {
            assert!(
                whole(&split(&data, outside, 3)).unwrap_err().contains("inside the folder of the model"),
                "{outside}"
            );
        }
        assert!(whole(&split(&data, "other", 3)).unwrap_err().contains("which is not beside the file"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
