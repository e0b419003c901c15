"""The extractor that finds its model by name, path or URI."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkcider import _native
from sparkcider.arguments import check_names
from sparkcider.notebook_html import facts_table
from sparkcider.options import ExtractorOptions
from sparkcider.storage.uri import redacted_uri

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class FeatureExtractor(_native.FeatureExtractor):
    """Turns encoded images into embeddings with one model.

    Threads may share an extractor. Its lock lets one batch in at a time, with the GIL released: calls of `extract` take
    turns; `stage_seconds` and the properties do not wait. Threads that are to embed at the same time need an extractor
    each. So does a forked process.

    A pickled extractor holds the model's name (a path made absolute), its checksum and the options, not the file. The
    model is opened again where it is unpickled; a file of another checksum is refused.

    Args:
        model: `"pixels"`, or an ONNX file with one image input (float32, float16, bfloat16 or uint8, rank 4): a path,
            or a name or URI as `sparkcider.models.resolve` takes them. Inputs that the output does not depend on, such
            as the text of CLIP, are cut off.
        input_size: Side or (height, width), 1 to 4,096 pixels each. Default: from the model; 20 for `pixels`.
        resize_mode: `squash` (default), `center_crop` or `letterbox`.
        resize_size: Side or (height, width) in pixels that the whole image is resized to as `resize_mode` says, before
            its middle is cut out, or it is laid into the middle where it is smaller than `input_size`: `center_crop`
            covers it, `letterbox` stays inside. Default: `input_size`; for `center_crop` over `crop_ratio`.
        crop_ratio: For `center_crop` without `resize_size` only: input size over the short side before the cut, 0.01 to
            1. Default 0.875.
        filter: `nearest`, `box`, `bilinear`, `hamming`, `bicubic` (default; `pixels`: `nearest`) or `lanczos`.
        rounding: `torchvision` (default), `transformers` or `timm`: whose rules decide the fractions of a pixel.
        resize_dtype: `uint8` (default): as Pillow resizes. `float32`: as torchvision resizes float tensors; `bilinear`
            and `bicubic` only.
        fill_color: RGB colour of what the image leaves free. Default: `background`, else black.
        normalization: `tf`, `caffe`, `torch`, `unit`, `raw`, or (mean, std) in [0, 1] per RGB channel. Must be given
            where neither the model file nor a description says it; `pixels`: `unit`.
        layout: `NCHW` or `NHWC`. Default: from the graph.
        color_order: `RGB` or `BGR`. Default: the normalization's own.
        pooling: How an output that is not a vector becomes one. Of a feature map `avg` (default), `max` or `flatten`.
            Of the tokens of a transformer, (N, T, D), also `cls`, the class token, or `mean_tokens`, the mean of those
            that are patches; `avg` and `max` are of all tokens. The default of `last_hidden_state` is what the library
            of the `model_type` in a `config.json` beside the file takes, else `cls` where the graph shows a class
            token. Other tokens have no default: it must be given.
        prefix_tokens: For `mean_tokens` only: how many tokens come before those of the patches (class, registers), 0 to
            1,024. Default: from the graph; must be given where it does not tell.
        layer: Name of the output, or of any tensor inside the graph, to take. Default: the output `image_embeds`, else
            `pooler_output`, else `last_hidden_state`, else the first; must be given where that is one of several
            maps or tensors of tokens. The classes of a classifier are taken with a warning. A list of names takes
            several in one pass: features are then a struct with a column for each (`layer_dims` has their lengths), and
            `pooling` and `layer_layout` are those of all that are not vectors. `outputs` says what was taken.
        layer_layout: `NCHW` or `NHWC`: where an output that is a feature map has its channels. Must be given where the
            operators of the graph do not tell.
        l2_normalize: Divide each vector by its Euclidean norm; a zero vector stays zero. Default: from the model
            file, else False.
        intra_threads: Threads inside one operator, 1 to 1,024. Default 1, as a Spark task is one core.
        decode: `exact` (default), or `scaled`: JPEGs are decoded at 1/2, 1/4 or 1/8 of their sides, the smallest scale
            at which each side is at least twice what the resize makes of it. Large photos take a fraction of the time;
            the features differ a little.
        apply_exif: Turn images upright as their EXIF orientation says. Default True.
        max_pixels: Refuse images over this many pixels by their header. Default 178,956,970, Pillow's error limit.
        background: RGB colour that transparent pixels get, and bars without a `fill_color`. Default: alpha is dropped,
            bars are black.
        preprocessing: Path or URI of a JSON file that describes the preparation (`preprocessor_config.json`, timm's
            `config.json`, `open_clip_config.json`, a preset of torchvision); `none`: read none. Default: such a file
            beside the model, where the model itself does not say its normalization. See docs/models.md.

    Raises:
        TypeError: There is no such option, or the model is not a name.
        FileNotFoundError: There is no such model file.
        ModelError: The file cannot be read, is not valid ONNX, does not have exactly one image input or has wrong
            metadata, its description says what is not supported, or ONNX Runtime cannot be loaded.
        ValueError: An option has a value that it cannot take, or is missing, or has no effect on this model.

    Example:
        >>> import pyarrow as pa
        >>> from sparkcider import FeatureExtractor
        >>> features, errors = FeatureExtractor("pixels").extract(pa.array([b"no image", None]))
        >>> len(features), features.null_count, errors[1].as_py()
        (2, 2, 'null image')
    """

    __slots__ = ("_model", "_options")

    _model: str
    _options: ExtractorOptions

    def __new__(cls, model: str | os.PathLike[str], **options: Unpack[ExtractorOptions]) -> Self:
        """Finds the model's file and opens it."""
        from sparkcider.models import descriptions, name_of, resolve

        check_names("FeatureExtractor", options, ExtractorOptions.__annotations__)
        path, name = model, name_of(model)
        if Path(model).is_file():
            name = str(Path(model).absolute())  # another process may have another working directory
        else:
            path = resolve(model)
        native: dict[str, Any] = {**options}
        description = descriptions.describe(path, native.pop("preprocessing", None))
        extractor = super().__new__(cls, path, description=description.native() if description else (), **native)
        if extractor._doubt is not None:
            warnings.warn(f"features of {name}: {extractor._doubt}", stacklevel=2)
        if os.fspath(path) != "pixels":
            options["preprocessing"] = description or descriptions.NONE
        extractor._model, extractor._options = name, options
        return extractor

    @property
    def resolved_options(self) -> ExtractorOptions:
        """The options with what a description beside the model said: another machine needs no such file with them."""
        return self._options.copy()

    def twin(self) -> Self:
        """A second extractor of the same model and options for another thread; its features are the same, bit for bit.

        Extractors work one batch at a time, so each thread needs one. Twins share the weights of their network in
        memory if ONNX Runtime can; then only the first call reads the model file again. The call waits for a running
        `extract`.

        Returns:
            The twin. Its `stage_seconds` are its own.

        Raises:
            FileNotFoundError: The model file is no longer there.
            ModelError: The model file has changed, or cannot be loaded again.
            RuntimeError: This extractor was made in another process.
        """
        twin = super().__new__(type(self), self)
        twin._model, twin._options = self._model, self._options
        return twin

    def _repr_html_(self) -> str:
        """What notebooks show: the model, what it gives, and how images are prepared for it."""
        facts = {
            "model": redacted_uri(str(self._model)),
            "SHA-256": self.checksum if self.checksum == "pixels" else f"{self.checksum[:16]}...",
            "input": self.input_size,
            "features": self.embedding_dim,
            "outputs": {name: pooling or "as it is" for name, pooling in self.outputs.items()} or None,
            **self.preprocessing,
            "l2_normalize": self.l2_normalize,
        }
        del facts["input_size"]  # the input
        return facts_table("FeatureExtractor", facts)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as "open this model with these options, and compare checksums"."""
        return _reopened, (type(self), self._model, self._options, self.checksum)


def _reopened(kind: type[FeatureExtractor], model: str, options: ExtractorOptions, checksum: str) -> FeatureExtractor:
    # checked before it is opened: the options may not suit another file
    checked = model if model == checksum or "#sha256=" in model else f"{model}#sha256={checksum}"
    try:
        return kind(checked, **options)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}; a pickled FeatureExtractor holds the name of its model, not the file: put the file there, or "
            "name the model by a URI that this machine can read"
        ) from error
