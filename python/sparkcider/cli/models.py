"""The commands about models: `model show`, `model layers`, `export`, `quantize`."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

from sparkcider.options import LAYOUTS, MAP_POOLINGS

if TYPE_CHECKING:
    from sparkcider.models import Layer, ModelCard

_EXPORT = """Builds a network without its classifier, checks it against the original on random images and writes one
ONNX file that says how it is to be fed. Keras needs sparkcider[export]; torchvision, timm, transformers
(--from huggingface) and open_clip need the library, onnx and onnxscript; pretrained weights need the internet, once."""
_QUANTIZE = """Calibrates on your own images (not for transformers), writes an int8 model and prints what it costs:
cosine to the float32 embeddings, nearest neighbours, explained variance, speed. Needs sparkcider[quantize]."""


def add_commands(commands: Any) -> None:
    """Adds the commands to the subparsers of `sparkcider`."""
    model = commands.add_parser("model", help="what a model file says of itself, and its layers")
    kinds = model.add_subparsers(title="commands", metavar="show | layers", required=True)
    show = kinds.add_parser("show", help="inputs, outputs and metadata of a model")
    show.add_argument("model", help="name, path or URI")
    show.set_defaults(command=_show)
    layers = kinds.add_parser("layers", help="the tensors that --layer can name, with their shapes")
    layers.add_argument("model", help="name, path or URI")
    layers.add_argument("--input-size", type=size, metavar="N|HxW", help="where the model takes any size")
    layers.add_argument("--layout", choices=LAYOUTS, help="where the graph does not say it")
    layers.set_defaults(command=_layers)
    _add_export(commands)
    _add_quantize(commands)
    for command in (show, layers):
        command.add_argument("--verbose", action="store_true", help="tracebacks of errors")


def size(text: str) -> int | tuple[int, int]:
    """`N` or `HxW` of the command line."""
    if not re.fullmatch(r"\d+(x\d+)?", text):
        raise argparse.ArgumentTypeError(f"a side (224) or height x width (224x224), not {text!r}")
    height, _, width = text.partition("x")
    return (int(height), int(width)) if width else int(height)


def _add_export(commands: Any) -> None:
    command = commands.add_parser("export", help="a pretrained network to ONNX", description=_EXPORT)
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
    add("--verbose", action="store_true", help="tracebacks of errors")
    command.set_defaults(command=_export)


def _add_quantize(commands: Any) -> None:
    command = commands.add_parser("quantize", help="a model to int8, about twice as fast", description=_QUANTIZE)
    add = command.add_argument
    add("model", help="name, path or URI of a float32 model")
    add("--images", required=True, metavar="URI", help="folder of images such as those to be embedded")
    add("--n", type=int, default=256, help="images to calibrate on, and as many to judge by (default: %(default)s)")
    add("--to", required=True, metavar="FILE|URI", help="the int8 model")
    add("--normalization", metavar="NAME", help="tf, caffe, torch, unit or raw, where the model does not say it")
    add("--verbose", action="store_true", help="tracebacks of errors")
    command.set_defaults(command=_quantize)


def _show(options: argparse.Namespace) -> int:
    from sparkcider import models

    card = models.show(options.model)
    _print(_card_lines(card) + _description_lines(card))
    return 0


def _description_lines(card: ModelCard) -> list[str]:
    """What a file beside the model says of the preparation, or that it must be said."""
    from sparkcider import ModelError
    from sparkcider.models.descriptions import describe

    if "normalization" in card.metadata:
        return []
    try:
        found = describe(card.path)
    except ModelError as error:
        return [f"{'description':<15} {error}"]
    if found is None:
        return [f"{'normalization':<15} not said: give normalization"]
    return [f"{key:<15} {text}" for key, text in (("description", found.source), *found.entries)]


def _card_lines(card: ModelCard) -> list[str]:
    rows = [("file", str(card.path)), ("checksum", card.checksum), ("opset", str(card.opset))]
    rows += [("input", f"{name} {_shape(shape)}") for name, shape in card.inputs]
    rows += [("output", f"{name} {_shape(shape)}") for name, shape in card.outputs]
    rows += [("features from", _features_from(card)), *sorted(card.metadata.items())]
    rows += [("slow", reason) for reason in card.slow]
    return [f"{key:<15} {text}" for key, text in rows]


def _features_from(card: ModelCard) -> str:
    """The tensor that is taken where the user names none, and how it becomes a vector."""
    axes, pooling = dict(card.outputs).get(card.output), card.metadata.get("pooling")
    if axes is not None and len(axes) == len("ND"):
        return card.output
    if axes is not None and len(axes) == len("NTD") and pooling is None:
        default = "cls" if card.output == "last_hidden_state" else None
        return f"{card.output}, tokens; pooling {default or 'not said: give pooling'}"
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
    _print([f"{layer.name:<{width}}  {layer.operator:<18} {_axes(layer)}" for layer in found])
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
    _print(
        [
            f"{'file':<15} {done.to}",
            f"{'checksum':<15} {done.checksum}",
            f"{'features':<15} {done.embedding_dim:,}",
            f"{'difference':<15} {done.difference:.1e} of the largest value, to the original",
        ]
    )
    return 0


def _quantize(options: argparse.Namespace) -> int:
    from sparkcider.models.quantize import quantize

    given = {} if options.normalization is None else {"normalization": options.normalization}
    report = quantize(options.model, options.images, options.to, n=options.n, **given)
    _print([f"{'file':<24} {options.to}", *report.lines()])
    return 0


def _print(lines: list[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
