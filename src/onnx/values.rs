//! Values that cross into a session and out of it: f32 on our side, the types of the graph on the other.

use std::borrow::Cow;

use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType, TensorRef};

/// The type of an image input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F16,
    Bf16,
    /// Levels as they are.
    U8,
}

impl Element {
    /// That of a type of ONNX; `None` for one that holds no image.
    pub(super) fn of(kind: TensorElementType) -> Option<Self> {
        Some(match kind {
            TensorElementType::Float32 => Self::F32,
            TensorElementType::Float16 => Self::F16,
            TensorElementType::Bfloat16 => Self::Bf16,
            TensorElementType::Uint8 => Self::U8,
            _ => return None,
        })
    }

    /// An input of shape `dims`. Values are rounded to the nearest that the type holds, ties to even; those of u8 are whole already.
    pub(super) fn input(self, dims: [i64; 4], values: &[f32]) -> ort::Result<SessionInputValue<'_>> {
        Ok(match self {
            Self::F32 => TensorRef::from_array_view((dims, values))?.into(),
            Self::F16 => Tensor::from_array((dims, converted(values, f16::from_f32)))?.into(),
            Self::Bf16 => Tensor::from_array((dims, converted(values, bf16::from_f32)))?.into(),
            Self::U8 => Tensor::from_array((dims, converted(values, |level| level as u8)))?.into(),
        })
    }
}

fn converted<T, U>(values: &[T], convert: impl Fn(T) -> U) -> Vec<U>
where
    T: Copy,
{
    values.iter().map(|&value| convert(value)).collect()
}

/// Axes and values of a tensor of floats or levels; the error names another type.
pub(super) fn floats(value: &DynValue) -> ort::Result<(&[i64], Cow<'_, [f32]>)> {
    fn raw<T: PrimitiveTensorElementType>(value: &DynValue) -> Option<(&[i64], &[T])> {
        value.try_extract_tensor::<T>().ok().map(|(shape, values)| (&**shape, values))
    }
    if let Some((shape, values)) = raw::<f16>(value) {
        return Ok((shape, converted(values, f16::to_f32).into()));
    }
    if let Some((shape, values)) = raw::<bf16>(value) {
        return Ok((shape, converted(values, bf16::to_f32).into()));
    }
    if let Some((shape, values)) = raw::<u8>(value) {
        return Ok((shape, converted(values, f32::from).into()));
    }
    value.try_extract_tensor::<f32>().map(|(shape, values)| (&**shape, values.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_nearest_ties_to_even() {
        let tie = 1.0 + 2.0_f32.powi(-11); // between two halves
        assert_eq!(converted(&[tie, 65_519.0, -0.1], f16::from_f32), [1.0, 65_504.0, -0.1].map(f16::from_f32));
        assert_eq!(converted(&[1.0 + 2.0_f32.powi(-8)], bf16::from_f32), [bf16::ONE]);
    }
}
