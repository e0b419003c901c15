"""What a job is asked to do, and what its model says before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sparkcider import FeatureExtractor
from sparkcider.arguments import check_flag, check_number, check_text, check_whole, found, names_checked
from sparkcider.labels import check_label_regex
from sparkcider.options import Description
from sparkcider.storage.uri import has_password, redacted_uri

FORMATS = ("parquet", "json", "csv")
"""What results can be written as; Parquet always is."""
MODES = ("error", "overwrite")
"""What to do about an output that exists."""
ENGINES = ("auto", "embedded", "spark")
"""What runs the job: threads of this process, or Spark."""
TABLE = "table:"
"""An input that begins so names a table of Spark's catalog."""
DEFAULT_VARIANCE = 0.9
"""Share of the variance that is kept where neither a number of components nor a share is requested."""


_CHECKS = {"str": check_text, "bool": check_flag, "int": check_whole, "float": check_number}
"""What is asked of a setting, by its type."""


@names_checked
@dataclass(frozen=True)
class JobConfig:
    """What a job reads, does and writes.

    Args:
        input: Folder, file, glob or URI; folders are read with everything below them. Files and folders whose names
            begin with ``_`` or ``.`` are skipped. A file that cannot be decoded becomes a row with an error. With
            ``content_column``: a Parquet file or folder, or ``table:NAME`` for a table of Spark's catalog.
        output: Folder or URI of the result; its parent must be writable too.
        model: ``"pixels"``, or the name, path or URI of an ONNX file: see ``sparkcider.models.resolve``.
        options: Options of ``FeatureExtractor`` by their names, such as ``{"input_size": 224}``.
        label_regex: Regular expression (Python's ``re``) whose first group, searched in an image's full path, is its
            label; ``None``: the parent folder's name.
        glob: Read only files whose name matches this pattern, such as ``*.{jpg,png}``.
        content_column: Column of encoded images, for an input that is a table.
        path_column: Column that names each image of a table. Default: ``path`` where the table has it.
        pca: Fit and apply a PCA. ``False`` writes the features alone.
        pca_k: Number of components.
        pca_variance: Share of the variance to keep, in (0, 1]; 0.9 where ``pca_k`` is not given either.
        standardize: Scale every feature to unit variance before the PCA.
        center: Subtract the mean before projecting, as scikit-learn does; ``False``: as Spark's PCA, which does not.
            With ``standardize`` the mean is always subtracted.
        formats: Any of ``parquet``, ``json``, ``csv``; Parquet is always written.
        mode: ``error`` or ``overwrite``, for an output that exists.
        resume: Go on with the work that an earlier run has left in ``OUT.partial``, or bring an existing output up to
            date: files that are new or changed are embedded, rows of deleted files removed.
        same_input: With ``resume``: go on although ``input`` is another than before, because the images moved. A row
            whose file has the same path below the input, length and modification time is kept, with its new path.
        allow_removed: With ``resume``: remove rows of files that are not there, however many. Default: more than a
            tenth of the rows, and at least 10, are refused.
        max_error_rate: Stop when a larger share of the images failed, in [0, 1]; looked at after the first 1,000
            images, then with each block (on Spark: each wave). Default: never.
        max_unread_rate: Stop when a larger share of the listed images could not be read
            (``sparkcider.error_kinds.FETCHING_KINDS``), in [0, 1]; looked at with each block (on Spark: each wave).
            1.0: never.
        engine: ``embedded`` (threads of this process, no Java), ``spark``, or ``auto``: see ``sparkcider.job.engine``.
        to_table: Table of Spark's catalog, such as ``catalog.schema.name``, that gets the features, too; the components
            go to one of that name with ``_pca`` at its end. ``mode`` and ``resume`` say what happens to tables that
            exist. Spark's setting ``spark.sql.sources.default`` is their format.
        workers: Threads of the embedded engine. Default: one for each core, fewer where memory is short.
        thumbnails: Write a small JPEG of each image to the column ``thumbnail`` of the features.
        report: Look for duplicates, outliers and suspect labels, and write ``findings/`` and ``report.html``.

    Raises:
        TypeError: There is no such option, or its value is of another type.
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
    content_column: str | None = None
    path_column: str | None = None
    pca: bool = True
    pca_k: int | None = None
    pca_variance: float | None = None
    standardize: bool = False
    center: bool = True
    formats: tuple[str, ...] = ("parquet",)
    mode: str = "error"
    resume: bool = False
    same_input: bool = False
    allow_removed: bool = False
    max_error_rate: float | None = None
    max_unread_rate: float = 0.01
    engine: str = "auto"
    workers: int | None = None
    to_table: str | None = None
    thumbnails: bool = True
    report: bool = True

    def __post_init__(self) -> None:
        """Checks what can be known without a file or a cluster."""
        self._check_types()
        self._check_pca()
        self._check_input()
        for name in self.formats:
            if name not in FORMATS:
                raise ValueError(f"formats must be among {', '.join(FORMATS)}, got {name!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode must be {' or '.join(MODES)}, got {self.mode!r}")
        self._check_resume()
        for name, rate in (("max_error_rate", self.max_error_rate), ("max_unread_rate", self.max_unread_rate)):
            if rate is not None and not 0.0 <= rate <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {rate}")
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.to_table is not None and self.engine == "embedded":
            raise ValueError(f"to_table {self.to_table} is a table of Spark's catalog: use engine spark or auto")

    def _check_types(self) -> None:
        if self.pca_k is not None:
            check_whole("pca_k", self.pca_k, share="pca_variance")
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is None and "None" in spec.type:
                continue
            for kind, check in _CHECKS.items():
                if kind in spec.type.split(" | "):
                    check(spec.name, value)
        if not isinstance(self.formats, (tuple, list)):
            raise TypeError(f"formats must be a tuple, such as ('parquet', 'csv'), got {found(self.formats)}")
        if not isinstance(self.options, Mapping):
            raise TypeError(f"options must be a dict, such as {{'input_size': 224}}, got {found(self.options)}")

    def _check_pca(self) -> None:
        if self.pca_k is not None and self.pca_variance is not None:
            raise ValueError("pca_k and pca_variance exclude each other")
        if self.pca_variance is not None and not 0.0 < self.pca_variance <= 1.0:
            raise ValueError(f"pca_variance must be in (0, 1], got {self.pca_variance}")
        if not self.pca and (self.pca_k is not None or self.pca_variance is not None or self.standardize):
            raise ValueError("pca_k, pca_variance and standardize have no effect without a PCA")

    def _check_resume(self) -> None:
        if self.resume and self.mode == "overwrite":
            raise ValueError("resume goes on with what is there and mode 'overwrite' starts over: give one of them")
        if (self.same_input or self.allow_removed) and not self.resume:
            raise ValueError("same_input and allow_removed have no effect without resume")

    def _check_input(self) -> None:
        for name, uri in (("input", self.input), ("output", self.output), ("model", self.model)):
            if has_password(uri):  # it would be in each path and each log
                raise ValueError(f"{name} has a password in its URI; leave it to the environment, a profile or a role")
        if self.label_regex is not None:
            check_label_regex(self.label_regex)
        if self.content_column is None:
            if self.path_column is not None:
                raise ValueError("path_column has no effect without content_column, the column of encoded images")
            if self.input.startswith(TABLE):
                raise ValueError(f"input {self.input} is a table: content_column must name its column of images")
        elif self.glob is not None:
            raise ValueError("glob has no effect with content_column: the images are rows, not files")
        elif self.resume:
            raise ValueError("resume needs files, whose sizes and times tell what has changed; content_column has rows")

    @property
    def is_table(self) -> bool:
        """Whether the images are rows of a table and not files."""
        return self.content_column is not None

    @property
    def table_names(self) -> dict[str, str]:
        """The tables of Spark's catalog to write, by the part of the result that each gets."""
        name = self.to_table
        if name is None:
            return {}
        reduced = f"{name[:-1]}_pca`" if name.endswith("`") else f"{name}_pca"
        return {"features": name, "pca": reduced} if self.pca else {"features": name}

    @property
    def model_name(self) -> str:
        """The model as logs and results name it: a URI without its query, which may be a signature."""
        return redacted_uri(self.model)


@dataclass(frozen=True)
class ModelFacts:
    """What a model is, what is taken of it, and how images are prepared for it: the attributes of `FeatureExtractor`.

    Attributes:
        description: The file that described the preparation; None where there was none.
    """

    embedding_dim: int
    input_size: tuple[int, int]
    checksum: str
    outputs: dict[str, str | None]
    l2_normalize: bool
    preprocessing: dict[str, Any]
    description: str | None

    @classmethod
    def of(cls, extractor: FeatureExtractor) -> ModelFacts:
        """Those of an opened model."""
        found = extractor.resolved_options.get("preprocessing")
        return cls(
            extractor.embedding_dim,
            extractor.input_size,
            extractor.checksum,
            extractor.outputs,
            extractor.l2_normalize,
            extractor.preprocessing,
            found.source if isinstance(found, Description) else None,
        )


def open_model(config: JobConfig) -> FeatureExtractor:
    """Opens the model on this machine, and so finds wrong options before a cluster is kept busy.

    Raises:
        FileNotFoundError: There is no such model file.
        ModelError: It cannot be loaded, or does not have exactly one image input.
        ValueError: An option has a wrong value, ``pca_k`` is over the embedding dimension, or there are several layers.
    """
    extractor = FeatureExtractor(config.model, **config.options)
    if extractor.layer_dims is not None:
        raise ValueError("layer must be one name: a job fits one PCA; run one job for each layer")
    if config.pca_k is not None and config.pca_k > extractor.embedding_dim:
        raise ValueError(
            f"pca_k must be at most {extractor.embedding_dim}, the number of features of {config.model_name}, "
            f"got {config.pca_k}"
        )
    return extractor
