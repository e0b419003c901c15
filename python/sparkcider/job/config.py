"""What a job is asked to do, and what its model says before it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sparkcider import FeatureExtractor
from sparkcider.storage.uri import redacted_uri

FORMATS = ("parquet", "json", "csv")
"""What results can be written as; Parquet always is."""
MODES = ("error", "overwrite")
"""What to do about an output that exists."""
DEFAULT_VARIANCE = 0.9
"""Share of the variance that is kept where neither a number of components nor a share is asked for."""


@dataclass(frozen=True)
class JobConfig:
    """What a job reads, does and writes.

    Args:
        input: Folder, glob or Hadoop URI; folders are read with everything below them. Files whose names begin with
            ``_`` or ``.`` are no input. A file that is no image becomes a row with an error.
        output: Folder or Hadoop URI of the result; its parent must be writable too.
        model: ``"pixels"``, or the name, path or URI of an ONNX file: see ``sparkcider.models.resolve``.
        options: Options of ``FeatureExtractor`` by their names, such as ``{"input_size": 224}``.
        label_regex: Regular expression (Java's) whose first group, searched in a file's full path, is its label;
            ``None``: the parent folder's name.
        glob: Read only files whose name fits this pattern, such as ``*.{jpg,png}``.
        pca_k: Number of components.
        pca_variance: Share of the variance to keep, in (0, 1]; 0.9 where ``pca_k`` is not given either.
        standardize: Scale every feature to unit variance before the PCA.
        formats: Any of ``parquet``, ``json``, ``csv``; Parquet is always written.
        mode: ``error`` or ``overwrite``, for an output that exists.

    Raises:
        ValueError: A value is none of those allowed.

    Example:
        >>> JobConfig(input="photos", output="out", model="pixels", pca_variance=1.5)
        Traceback (most recent call last):
            ...
        ValueError: pca_variance must be in (0, 1], got 1.5
    """

    input: str
    output: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label_regex: str | None = None
    glob: str | None = None
    pca_k: int | None = None
    pca_variance: float | None = None
    standardize: bool = False
    formats: tuple[str, ...] = ("parquet",)
    mode: str = "error"

    def __post_init__(self) -> None:
        """Checks what can be known without a file or a cluster."""
        if self.pca_k is not None and self.pca_variance is not None:
            raise ValueError("pca_k and pca_variance exclude each other")
        if self.pca_k is not None and self.pca_k < 1:
            raise ValueError(f"pca_k must be at least 1, got {self.pca_k}")
        if self.pca_variance is not None and not 0.0 < self.pca_variance <= 1.0:
            raise ValueError(f"pca_variance must be in (0, 1], got {self.pca_variance}")
        for name in self.formats:
            if name not in FORMATS:
                raise ValueError(f"formats must be among {', '.join(FORMATS)}, got {name!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode must be {' or '.join(MODES)}, got {self.mode!r}")
        for name, uri in (("input", self.input), ("output", self.output)):
            if re.match("[^/]*://[^/@]*:[^/]*@", uri):  # it would stand in each path, in every log
                raise ValueError(f"{name} has a password in its URI; leave it to the environment, a profile or a role")

    @property
    def model_name(self) -> str:
        """The model as logs and results name it: a URI without its query, which may be a signature."""
        return redacted_uri(self.model)


@dataclass(frozen=True)
class ModelFacts:
    """What a model says of itself."""

    embedding_dim: int
    input_size: tuple[int, int]
    checksum: str


def inspect_model(config: JobConfig) -> ModelFacts:
    """Loads the model on this machine, and so finds wrong options before a cluster is kept busy.

    Raises:
        FileNotFoundError: There is no such model file.
        ModelError: It is no network with one image input.
        ValueError: An option has a wrong value, or ``pca_k`` is over the embedding dimension.
    """
    extractor = FeatureExtractor(config.model, **config.options)
    facts = ModelFacts(extractor.embedding_dim, extractor.input_size, extractor.checksum)
    if config.pca_k is not None and config.pca_k > facts.embedding_dim:
        raise ValueError(
            f"pca_k must be at most {facts.embedding_dim}, the number of features of {config.model_name}, "
            f"got {config.pca_k}"
        )
    return facts
