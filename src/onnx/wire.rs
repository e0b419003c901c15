//! Protocol Buffers messages changed field by field. What is not changed stays as it is, byte for byte, and is not decoded.

use std::borrow::Cow;

/// Numbers of fields in `onnx.proto3`.
pub(super) const MODEL_GRAPH: usize = 7;
pub(super) const MODEL_FUNCTION: usize = 25;
pub(super) const FUNCTION_NODE: usize = 7;
pub(super) const GRAPH_NODE: usize = 1;
pub(super) const GRAPH_INITIALIZER: usize = 5;
pub(super) const GRAPH_INPUT: usize = 11;
pub(super) const GRAPH_OUTPUT: usize = 12;
pub(super) const NODE_ATTRIBUTE: usize = 5;
pub(super) const ATTRIBUTE_TENSOR: usize = 5;
pub(super) const ATTRIBUTE_GRAPH: usize = 6;
pub(super) const ATTRIBUTE_GRAPHS: usize = 11;
pub(super) const TENSOR_RAW_DATA: usize = 9;
pub(super) const TENSOR_EXTERNAL_DATA: usize = 13;

/// What becomes of a field.
pub(super) enum Change<'a> {
    /// It stays as it is.
    Keep,
    /// It is left out.
    Drop,
    /// Its content is replaced.
    To(Cow<'a, [u8]>),
}

/// A message with the content of each field `number` replaced by what `change` makes of it, and the rest as it is; `None` if it is
/// damaged or `change` gives nothing.
pub(super) fn replace<'a>(
    message: &'a [u8],
    number: usize,
    change: &mut dyn FnMut(&'a [u8]) -> Option<Cow<'a, [u8]>>,
) -> Option<Vec<u8>> {
    edit(message, &mut |field, content| {
        if field == number { change(content).map(Change::To) } else { Some(Change::Keep) }
    })
}

/// A message with `change` made to each field that has a length: it is given the number and the content of one. `None` if the
/// message is damaged or `change` gives nothing.
pub(super) fn edit<'a>(
    message: &'a [u8],
    change: &mut dyn FnMut(usize, &'a [u8]) -> Option<Change<'a>>,
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let before = rest;
        let field = Field::next(&mut rest)?;
        let changed = field.content.map_or(Some(Change::Keep), |content| change(field.key >> 3, content));
        match changed? {
            Change::Keep => out.extend_from_slice(&before[..before.len() - rest.len()]),
            Change::Drop => {}
            Change::To(content) => {
                prost::encode_length_delimiter(field.key, &mut out).ok()?; // a varint, too
                prost::encode_length_delimiter(content.len(), &mut out).ok()?;
                out.extend_from_slice(&content);
            }
        }
    }
    Some(out)
}

/// The fields of a message that have a length, by number, up to where it is damaged.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = message;
    let all = std::iter::from_fn(move || if rest.is_empty() { None } else { Field::next(&mut rest) });
    all.filter_map(|field| Some((field.key >> 3, field.content?)))
}

/// A field as it is in a message.
struct Field<'a> {
    /// Its number and the kind of its content.
    key: usize,
    /// `None` for a number, whose length its kind tells.
    content: Option<&'a [u8]>,
}

impl<'a> Field<'a> {
    /// Takes the first field off `rest`; `None` if it is damaged.
    fn next(rest: &mut &'a [u8]) -> Option<Self> {
        let key = varint(rest)?;
        let length = match key & 7 {
            0 => {
                varint(rest)?;
                0
            }
            1 => 8,
            2 => varint(rest)?,
            5 => 4,
            _ => return None, // groups, which ONNX has none of
        };
        let (content, after) = rest.split_at_checked(length)?;
        *rest = after;
        Some(Self { key, content: (key & 7 == 2).then_some(content) })
    }
}

/// The next number of a message.
fn varint(rest: &mut &[u8]) -> Option<usize> {
    prost::decode_length_delimiter(rest).ok()
}
