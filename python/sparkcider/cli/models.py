"""The commands about models: `model show`, `model layers`, `export`, `quantize`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkcider.cli.parser import add_command, finish_command, normalization, show, size
from sparkcider.options import LAYOUTS, MAP_POOLINGS, PRESETS

if TYPE_CHECKING:
    import argparse

    from sparkcider.models import Layer, ModelCard

HIDDEN_STATE = "last_hidden_state"
"""What exporters call the tokens of a transformer."""

_EXPORT = """Builds a network without its classifier, checks it against the original on random images and writes one
ONNX file with all that is needed to prepare images for it.

Keras needs keras, tensorflow-cpu, tf2onnx and onnx. torchvision, timm, transformers (--from huggingface) and open_clip
need the library, onnx and onnxscript. Pretrained weights need the internet, once."""
_QUANTIZE = """Calibrates on your own images (not for transformers), writes an int8 model and prints what it costs:
cosine to the float32 embeddings, nearest neighbours, explained variance, speed. Needs onnx and onnxruntime."""


def add_commands(commands: Any) -> None:
    """Adds the commands to the subparsers of `sparkcider`."""
    model = commands.add_parser("model", help="show the inputs and metadata of a model, or its layers")
    model.example = "sparkcider model show fruits-tiny"
    kinds = model.add_subparsers(title="commands", metavar="show | layers", required=True)
    card = add_command(
        kinds,
        "show",
        summary="inputs, outputs and metadata of a model",
        example="sparkcider model show fruits-tiny",
        description="Prints what a model file says about itself: inputs, outputs, how images are prepared for it.",
    )
    card.add_argument("model", help="name, path or URI")
    finish_command(card, _show)
    layers = add_command(
        kinds,
        "layers",
        summary="the tensors that --layer can name, with their shapes",
        example="sparkcider model layers fruits-tiny",
        description="Lists the tensors that --layer can name, with their shapes for one image.",
    )
    layers.add_argument("model", help="name, path or URI")
    layers.add_argument("--input-size", type=size, metavar="N|HxW", help="where the model takes any size")
    layers.add_argument("--layout", choices=LAYOUTS, help="where the graph does not say it")
    finish_command(layers, _layers)
    _add_export(commands)
    _add_quantize(commands)


def _add_export(commands: Any) -> None:
    command = add_command(
        commands,
        "export",
        summary="make one ONNX file of a pretrained network",
        example="sparkcider export mobilenet_v2 --to mobilenet_v2.onnx",
        description=_EXPORT,
    )
    add = command.add_argument
    add(
        "name",
        help="resnet50, mobilenet_v2, ... (a wrong name lists the near ones); OWNER/NAME or a folder for huggingface",
    )
    add("--to", metavar="FILE|URI", help="default: the cache, where --model finds it by its name")
    add(
        "--from",
        dest="source",
        choices=("keras", "torchvision", "timm", "huggingface", "open_clip"),
        default="keras",
        help="default: %(default)s",
    )
    add("--input-size", type=size, metavar="N|HxW", help="in pixels (default: what it was trained for)")
    add("--pooling", choices=MAP_POOLINGS, default="avg", help="of the last map (default: %(default)s)")
    add(
        "--weights",
        default="pretrained",
        metavar="pretrained|none|FILE|TAG",
        help="default: %(default)s; none: random ones; TAG: of open_clip",
    )
    finish_command(command, _export)


def _add_quantize(commands: Any) -> None:
    command = add_command(
        commands,
        "quantize",
        summary="make an int8 model and measure what it costs",
        example="sparkcider quantize fruits-tiny --images images --to fruits-tiny-int8.onnx",
        description=_QUANTIZE,
    )
    add = command.add_argument
    add("model", help="name, path or URI of a float32 model")
    add("--images", required=True, metavar="URI", help="folder, glob or URI of images such as those to be embedded")
    add("--n", type=int, default=256, help="images to calibrate on, and as many to judge by (default: %(default)s)")
    add("--to", required=True, metavar="FILE|URI", help="the int8 model")
    add(
        "--normalization",
        type=normalization,
        metavar="|".join(PRESETS) + "|M,M,M/S,S,S",
        help="preset, or mean/std of R,G,B in [0, 1] (default: from the model's file)",
    )
    finish_command(command, _quantize)


def _show(options: argparse.Namespace) -> int:
    from sparkcider import models

    card = models.show(options.model)
    described = _description(card)
    found = card._asdict()
    for tensors in ("inputs", "outputs"):
        found[tensors] = [{"name": name, "shape": shape} for name, shape in found[tensors]]
    found |= {"features_from": _features_from(card), "library": _library(card), "description": dict(described)}
    show(options, found, _card_lines(card) + [f"{key:<15} {text}" for key, text in described])
    return 0


def _description(card: ModelCard) -> list[tuple[str, str]]:
    """What a file beside the model says of the preparation, or that it must be said."""
    from sparkcider import ModelError
    from sparkcider.models.descriptions import describe

    if "normalization" in card.metadata:
        return []
    try:
        found = describe(card.path)
    except ModelError as error:
        return [("description", str(error))]
    if found is None or "normalization" not in dict(found.entries):
        return [("normalization", "not in the file: pass --normalization")]
    return [("description", found.source), *found.entries]


def _library(card: ModelCard) -> str | None:
    """What the library of the model makes of its last hidden state, where that is what features are of."""
    from sparkcider.models.descriptions import family

    found = family(card.path)
    if found is None or card.output != HIDDEN_STATE:
        return None
    kind, (pooling, behind) = found
    if pooling is None:
        return f"{kind} {behind}"
    return f"{kind} takes {pooling}" + (f", and {behind}, which is not in the file" if behind else "")


def _card_lines(card: ModelCard) -> list[str]:
    rows = [("file", str(card.path)), ("checksum", card.checksum), ("opset", str(card.opset))]
    rows += [("input", f"{name} {_shape(shape)}") for name, shape in card.inputs]
    rows += [("output", f"{name} {_shape(shape)}") for name, shape in card.outputs]
    library = _library(card)
    rows += [("features from", _features_from(card)), *([("library", library)] if library else [])]
    rows += sorted(card.metadata.items())
    rows += [("slow", reason) for reason in card.slow]
    return [f"{key:<15} {text}" for key, text in rows]


def _features_from(card: ModelCard) -> str:
    """The tensor that is taken where the user names none, and how it becomes a vector."""
    from sparkcider.models.descriptions import family

    if card.output is None:
        return "several outputs: give layer"
    axes, pooling = dict(card.outputs).get(card.output), card.metadata.get("pooling")
    if card.doubt is not None:
        return card.doubt
    if axes is not None and len(axes) == len("ND"):
        return card.output
    if axes is not None and len(axes) == len("NTD") and pooling is None:
        known = family(card.path) if card.output == HIDDEN_STATE else None
        unknown = "cls if the graph shows a class token, else" if card.output == HIDDEN_STATE else "not said:"
        default = known[1].pooling if known else None
        return f"{card.output}, tokens; pooling {default or f'{unknown} give pooling'}"
    if axes is not None and len(axes) == len("NCHW"):
        pooling = pooling or "avg"
    return card.output if pooling is None else f"{card.output}, pooling {pooling}"


def _shape(axes: list[int] | None) -> str:
    if axes is None:
        return "(of any rank)"
    return "(" + ", ".join(str(axis) if axis > 0 else "?" if at else "N" for at, axis in enumerate(axes)) + ")"


def _layers(options: argparse.Namespace) -> int:
    from sparkcider import models

    found = models.layers(options.model, input_size=options.input_size, layout=options.layout)
    width = max((len(layer.name) for layer in found), default=0)
    lines = [f"{layer.name:<{width}}  {layer.operator:<18} {_axes(layer)}" for layer in found]
    show(options, [layer._asdict() for layer in found], lines)
    return 0


def _axes(layer: Layer) -> str:
    """The shape for one image, and for a map where its channels are."""
    shape = ", ".join(map(str, layer.shape))
    kinds = {len("D"): "", len("TD"): " tokens"}
    return f"({shape})" + kinds.get(len(layer.shape), f" {layer.layout or 'NCHW or NHWC? give layer_layout'}")


def _export(options: argparse.Namespace) -> int:
    from sparkcider.models.export import export

    done = export(
        options.name,
        options.to,
        source=options.source,
        input_size=options.input_size,
        pooling=options.pooling,
        weights=options.weights,
    )
    lines = [
        f"{'file':<15} {done.to}",
        f"{'checksum':<15} {done.checksum}",
        f"{'features':<15} {done.embedding_dim:,}",
        f"{'difference':<15} {done.difference:.1e} of the largest value, to the original",
    ]
    show(options, done._asdict(), lines)
    return 0


def _quantize(options: argparse.Namespace) -> int:
    from sparkcider.models.quantize import quantize

    given = {} if options.normalization is None else {"normalization": options.normalization}
    report = quantize(options.model, options.images, options.to, n=options.n, **given)
    show(options, {"to": options.to, **report._asdict()}, [f"{'file':<24} {options.to}", *report.lines()])
    return 0
