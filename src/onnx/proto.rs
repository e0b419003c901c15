//! The message of a weight in `onnx.proto3`, without its values and with them.

use prost::Message;

/// Values of `TensorProto.DataType`.
pub(super) const FLOAT: i32 = 1;
pub(super) const UINT8: i32 = 2;
pub(super) const INT8: i32 = 3;
pub(super) const BOOL: i32 = 9;
pub(super) const BFLOAT16: i32 = 16;

/// The value of `TensorProto.DataLocation` for a weight whose values are in another file.
pub(super) const EXTERNAL: i32 = 1;

/// As bytes: files hold authors and licences in any encoding, and ONNX Runtime does not mind.
#[derive(Message)]
pub(super) struct StringStringEntryProto {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

impl StringStringEntryProto {
    pub(super) fn new(key: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.as_bytes().to_vec(), value: value.into() }
    }
}

/// A weight without its values, which prost skips and does not copy.
#[derive(Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

impl TensorProto {
    /// Whether its values are in another file.
    pub(super) fn is_external(&self) -> bool {
        self.data_location == EXTERNAL
    }

    /// What its entry `key` says of the other file; characters that are not UTF-8 are replaced.
    pub(super) fn external(&self, key: &str) -> Option<String> {
        let entry = self.external_data.iter().find(|entry| entry.key == key.as_bytes())?;
        Some(String::from_utf8_lossy(&entry.value).into_owned())
    }
}

/// A weight with its values. Fields of types that are not taken out are left out.
#[derive(Message)]
pub(super) struct WholeTensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// A constant of booleans with its values, which are in one of the two.
#[derive(Message)]
pub(super) struct BoolTensorProto {
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}
