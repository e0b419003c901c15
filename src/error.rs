//! The one error type of the crate. A bad image is data (a row's reason); the rest are faults.

/// What went wrong: what was expected, what was found, where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an image that this crate decodes.
    #[error("{format}: {reason}")]
    Decode {
        /// The format found by its magic bytes, or `unknown format`.
        format: &'static str,
        /// What is wrong, in one word.
        kind: ErrorKind,
        /// The cause, in the decoder's words.
        reason: String,
    },
    /// The header promises more pixels than the limit allows; nothing was allocated.
    #[error("image of {width} x {height} pixels is over the limit of {limit} pixels (max_pixels)")]
    ImageTooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// The limit in pixels.
        limit: u64,
    },
    /// An option has a value that it cannot take.
    #[error("{name} must be {expected}, got {found}")]
    Option {
        /// The option's name, as the user wrote it.
        name: &'static str,
        /// What the option takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// An option that the model cannot do without is not given.
    #[error("{name} is required ({expected}): {reason}")]
    Required {
        /// The option's name, as the user writes it.
        name: &'static str,
        /// What the option takes.
        expected: &'static str,
        /// Why the model needs it.
        reason: String,
    },
    /// The model file does not exist.
    #[error("model file not found: {path}")]
    ModelNotFound {
        /// The path as given.
        path: String,
    },
    /// The model file cannot be read.
    #[error("model {path}: cannot be read: {cause}")]
    ModelIo {
        /// The path as given.
        path: String,
        /// What the system answers.
        #[source]
        cause: std::io::Error,
    },
    /// The model cannot be loaded or run.
    #[error("model {model}: {reason}")]
    Model {
        /// The model's name or path.
        model: String,
        /// The cause and what to do.
        reason: String,
    },
    /// The ONNX Runtime library cannot be used.
    #[error("ONNX Runtime: {reason}")]
    Runtime {
        /// The cause and what to do.
        reason: String,
    },
    /// Arrays whose shapes do not fit together.
    #[error("expected {expected}, got {found}")]
    Shape {
        /// The shape that was needed.
        expected: String,
        /// The shape that was given.
        found: String,
    },
    /// Too few samples for the statistic.
    #[error("needs at least {needed} samples, got {found}")]
    NotEnoughSamples {
        /// The smallest number that is enough.
        needed: u64,
        /// The number given.
        found: u64,
    },
    /// A row of features that is null, or has a null among its values.
    #[error("row {row} is null or has a null inside")]
    Null {
        /// Zero-based row of the batch.
        row: usize,
    },
    /// A NaN or an infinity in the data.
    #[error("row {row} has a NaN or an infinity in feature {feature}")]
    NonFinite {
        /// Zero-based row of the batch.
        row: usize,
        /// Zero-based feature.
        feature: usize,
    },
    /// Data that the PCA cannot take: too wide for its solver, or so large that products overflow.
    #[error("PCA: {reason}")]
    Pca {
        /// The cause and what to do.
        reason: String,
    },
    /// A column of another type than the operation takes.
    #[error("expected a column of {expected}, got {found}")]
    Column {
        /// The Arrow types taken.
        expected: &'static str,
        /// The Arrow type found.
        found: String,
    },
    /// Saved state (moments, a fitted PCA) that cannot be read back.
    #[error("cannot read {what}: {reason}")]
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// The cause.
        reason: String,
    },
}

impl Error {
    /// What is wrong with an image, in one word; `None` for an error that is not about one image.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Decode { kind, .. } => Some(*kind),
            Self::ImageTooLarge { .. } => Some(ErrorKind::TooLarge),
            _ => None,
        }
    }
}

/// What is wrong with an image, in one word. `sparkcider.error_kinds` in Python explains the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The row is null.
    Null,
    /// The file has no bytes.
    Empty,
    /// Text, an HTML page, an archive, a video or another known kind of file that holds no image.
    NotAnImage,
    /// The bytes begin as no known kind of file does.
    UnknownFormat,
    /// An image of a format, or of a variant of one, that is not decoded.
    UnsupportedFormat,
    /// The file ends before its image does.
    Truncated,
    /// The content contradicts the format.
    Damaged,
    /// The image has more pixels, or takes more memory or work, than the limits allow.
    TooLarge,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Null,
        Self::Empty,
        Self::NotAnImage,
        Self::UnknownFormat,
        Self::UnsupportedFormat,
        Self::Truncated,
        Self::Damaged,
        Self::TooLarge,
    ];

    /// The word, as columns hold it.
    ///
    /// ```
    /// assert_eq!(sparkcider::ErrorKind::NotAnImage.word(), "not_an_image");
    /// ```
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Empty => "empty",
            Self::NotAnImage => "not_an_image",
            Self::UnknownFormat => "unknown_format",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Truncated => "truncated",
            Self::Damaged => "damaged",
            Self::TooLarge => "too_large",
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.word())
    }
}

/// Why a row has no embedding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// What is wrong, in one word.
    pub kind: ErrorKind,
    /// What is wrong, in a line.
    pub reason: String,
}

impl RowFault {
    /// The fault of a row with this error; `otherwise` is the kind of an error that is not about one image.
    pub(crate) fn new(error: &Error, otherwise: ErrorKind) -> Self {
        Self { kind: error.kind().unwrap_or(otherwise), reason: error.to_string() }
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
