"""`FeatureExtractor` from Python: against Pillow + onnxruntime, at the edges of Arrow, across forks."""

from __future__ import annotations

import concurrent.futures
import doctest
import io
import multiprocessing
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import sparkcider
from sparkcider import FeatureExtractor, _native

DATA = Path(__file__).parent.parent / "data"
TINY = str(DATA / "tiny_nchw.onnx")
CHANNELS = 4
# Views came with pyarrow 16.
BINARY_KINDS = [pa.binary(), pa.large_binary(), *([pa.binary_view()] if hasattr(pa, "binary_view") else [])]

# The bound for every single image. Pixels are equal bit for bit, so what is left is ONNX Runtime's own rounding.
COSINE = 0.9999


def png(seed: int, side: int = 16) -> bytes:
    """A noisy PNG."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def reference_pixels(image: bytes, side: int) -> np.ndarray:
    """(side, side, 3) u8 by Pillow: upright, RGB, bicubic."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(image)))
    return np.asarray(upright.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def fruits(test_data: Path) -> list[bytes]:
    """The 2,280 real JPEGs of fruits/Test."""
    return [path.read_bytes() for path in sorted((test_data / "fruits" / "Test").glob("*/*.jpg"))]


def test_every_fruit_has_pillows_pixels(fruits: list[bytes]) -> None:
    raw = FeatureExtractor("pixels", input_size=224, filter="bicubic", normalization="raw")
    different = 0
    for start in range(0, len(fruits), 60):
        images = fruits[start : start + 60]
        features, errors = raw.extract(pa.array(images))
        assert errors.null_count == len(images)
        ours = features.flatten().to_numpy().reshape(len(images), -1)
        theirs = np.stack([reference_pixels(image, 224).ravel() for image in images])
        different += int((ours != theirs).sum())
    assert len(fruits) == 2280
    assert different == 0


def test_fruits_have_the_embeddings_of_pillow_and_onnxruntime(test_data: Path, fruits: list[bytes]) -> None:
    fruits = fruits[::4]  # all of them have Pillow's pixels
    onnxruntime = pytest.importorskip("onnxruntime")
    model = str(test_data / "models" / "mobilenetv2_imagenet.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    features, errors = FeatureExtractor(model, normalization="tf").extract(pa.array(fruits))
    assert errors.null_count == len(fruits)
    ours = features.flatten().to_numpy().reshape(len(fruits), -1)
    worst = 1.0
    for image, embedding in zip(fruits, ours):
        tensor = reference_pixels(image, 224).astype(np.float32) / np.float32(127.5) - np.float32(1)
        expected = session.run(None, {"input": tensor[None]})[0][0]
        cosine = embedding @ expected / (np.linalg.norm(embedding) * np.linalg.norm(expected))
        worst = min(worst, float(cosine))
    assert worst >= COSINE


def test_photos_are_turned_upright_as_pillow_turns_them(test_data: Path) -> None:
    raw = FeatureExtractor("pixels", input_size=64, filter="lanczos", normalization="raw")
    from PIL import Image, ImageOps

    photos = sorted((test_data / "photos").glob("exif_*.jpg"))
    assert len(photos) == 18
    features, _ = raw.extract(pa.array([path.read_bytes() for path in photos]))
    for path, ours in zip(photos, features):
        upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        theirs = np.asarray(upright.resize((64, 64), Image.Resampling.LANCZOS))
        assert np.array_equal(np.array(ours.as_py()), theirs.ravel()), path.name


@pytest.mark.parametrize("kind", BINARY_KINDS, ids=str)
def test_any_binary_column_with_nulls_slices_and_no_rows(kind: pa.DataType) -> None:
    network = FeatureExtractor(TINY)
    images = pa.array([png(0), None, png(1), b"", png(2)], kind)
    features, errors = network.extract(images)
    assert features.type == pa.list_(pa.field("item", pa.float32(), nullable=False), CHANNELS)
    assert features.is_valid().to_pylist() == errors.is_null().to_pylist() == [True, False, True, False, True]
    assert errors[1].as_py() == "null image"

    sliced, _ = network.extract(images[2:4])
    assert sliced.to_pylist() == features.to_pylist()[2:4]
    empty, _ = network.extract(images[:0])
    assert len(empty) == 0
    assert empty.type == features.type


@pytest.mark.skipif(
    not hasattr(pa.ChunkedArray, "__arrow_c_stream__"), reason="pyarrow before 16 gives no stream of a ChunkedArray"
)
def test_a_stream_gives_chunks() -> None:
    network = FeatureExtractor(TINY)
    images = [png(seed) for seed in range(5)]
    whole, _ = network.extract(pa.array(images))
    chunks, errors = network.extract(pa.chunked_array([images[:2], images[2:]]))
    assert isinstance(chunks, pa.ChunkedArray)
    assert [len(chunk) for chunk in errors.chunks] == [2, 3]
    assert chunks.to_pylist() == whole.to_pylist()
    none, _ = network.extract(pa.chunked_array([], pa.binary()))
    assert len(none) == 0


@pytest.mark.parametrize("column", [pa.array(["text"]), pa.array([1]), pa.array([None])], ids=["utf8", "int", "null"])
def test_a_column_of_another_type_is_a_type_error(column: pa.Array) -> None:
    text = r"the bytes of image files, got pyarrow StringArray of text: read the file first, Path\(...\).read_bytes\(\)"
    with pytest.raises(
        TypeError, match=rf"^expected ({text}|a column of binary \(encoded images\), got (Int64|Null)$)"
    ):
        FeatureExtractor("pixels").extract(column)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("missing.onnx", {}, FileNotFoundError, "model file not found: missing.onnx"),
        (
            "pixels",
            {"filter": "cubic"},
            ValueError,
            "filter must be nearest, box, bilinear, hamming, bicubic or lanczos",
        ),
        ("pixels", {"resize_mode": "fit"}, ValueError, "resize_mode must be squash, center_crop or letterbox"),
        (
            "pixels",
            {"normalization": "zero"},
            ValueError,
            "normalization must be tf, caffe, torch, unit, raw or mean r,g,b std r,g,b, got 'zero'",
        ),
        ("pixels", {"normalization": ([0, 0, 0], [1, 1, 0])}, ValueError, "std"),
        ("pixels", {"pooling": "sum"}, ValueError, "pooling must be avg, max, flatten, cls or mean_tokens, got 'sum'"),
        ("pixels", {"layout": "HWC"}, ValueError, "layout must be NCHW or NHWC, got 'HWC'"),
        ("pixels", {"color_order": "GBR"}, ValueError, "color_order must be RGB or BGR, got 'GBR'"),
        (
            TINY,
            {"layer": "top"},
            ValueError,
            "such as its outputs (features, map), got 'top'; `sparkcider model layers ",
        ),
        ("pixels", {"layer": "top"}, ValueError, "layer must be left out, as pixels has no layers, got top"),
        (
            TINY,
            {"pooling": "max"},
            ValueError,
            f"pooling must be left out, as output 'features' of {TINY} is a vector per image, got max",
        ),
        (TINY, {"layout": "NHWC"}, ValueError, f"layout must be NCHW, as {TINY} takes (N, 3, 16, 16), got NHWC"),
        (str(DATA / "make_models.py"), {}, sparkcider.ModelError, "make_models.py: cannot read ONNX graph: "),
        (
            str(DATA / "text_input.onnx"),
            {},
            sparkcider.ModelError,
            "expects an image input of float32, float16, bfloat16 or uint8, found input 'text'",
        ),
    ],
)
def test_bad_options_are_one_line_errors(model: str, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        FeatureExtractor(model, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["SparkciderError", "ImageDecodeError", "ModelError", "PcaError"])
def test_exceptions_pickle(name: str) -> None:
    error = getattr(sparkcider, name)("what was found")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "what was found"
    assert isinstance(copy, sparkcider.SparkciderError)


def in_child(network: FeatureExtractor, queue: multiprocessing.Queue) -> None:
    """What a forked child sees of its parent's extractor, and of its own."""
    for call in (lambda: network.extract(pa.array([png(0)])), network.twin):
        with pytest.raises(RuntimeError) as caught:
            call()
        queue.put(str(caught.value))
    queue.put(FeatureExtractor(TINY).extract(pa.array([png(0)]))[0].to_pylist())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_builds_its_own_extractor() -> None:
    network = FeatureExtractor(TINY)
    expected = network.extract(pa.array([png(0)]))[0].to_pylist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(network, queue))
    child.start()
    messages, features = [queue.get(timeout=60) for _ in range(2)], queue.get(timeout=60)
    child.join()
    assert all(message.startswith("this FeatureExtractor was made in process") for message in messages)
    assert features == expected


def test_the_gil_is_free_while_images_are_embedded() -> None:
    network = FeatureExtractor("pixels", input_size=512, filter="lanczos")
    images = pa.array([png(0, 256)] * 64)
    ticks = 0
    worker = threading.Thread(target=network.extract, args=(images,))
    worker.start()
    while worker.is_alive():
        ticks += 1
    worker.join()
    # with the GIL held for the whole call this loop would turn once or twice
    assert ticks > 100


def test_the_seconds_of_each_stage_can_be_read_while_images_are_embedded() -> None:
    network = FeatureExtractor("pixels", input_size=512, filter="lanczos")
    assert network.stage_seconds() == {"decoding": 0, "resizing": 0, "inference": 0}
    images = pa.array([png(0, 256)] * 64)
    worker = threading.Thread(target=network.extract, args=(images,))
    start = time.perf_counter()
    worker.start()
    seen = []
    while worker.is_alive():
        seen.append(network.stage_seconds()["resizing"])
    worker.join()
    elapsed = time.perf_counter() - start
    assert len(set(seen)) > 2  # it grew while the batch ran
    assert seen == sorted(seen)
    seconds = network.stage_seconds()
    assert list(seconds) == ["decoding", "resizing", "inference"]
    assert seconds["inference"] == 0
    assert 0 < sum(seconds.values()) <= elapsed


@pytest.mark.parametrize("model", ["pixels", TINY, "fruits-tiny"])
def test_twins_embed_in_threads_of_their_own(model: str) -> None:
    first = FeatureExtractor(model, filter="lanczos")
    images = pa.array([png(seed, 40) for seed in range(16)])
    expected = first.extract(images)[0].to_pylist()
    twins = [first, first.twin(), first.twin().twin()]
    assert [type(twin) for twin in twins] == [FeatureExtractor] * 3
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda twin: twin.extract(images)[0].to_pylist(), twins))
    assert found == [expected] * 3
    assert {(twin.embedding_dim, twin.input_size, twin.checksum) for twin in twins} == {
        (first.embedding_dim, first.input_size, first.checksum)
    }
    assert twins[1].stage_seconds()["decoding"] != first.stage_seconds()["decoding"]


def test_twins_that_cannot_share_their_weights_have_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(Path(TINY).read_bytes())
    first = FeatureExtractor(path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))  # the optimised network cannot be saved
    twins = [first, first.twin(), first.twin()]
    images = pa.array([png(0)])
    assert len({str(twin.extract(images)[0].to_pylist()) for twin in twins}) == 1
    path.unlink()
    with pytest.raises(FileNotFoundError):
        first.twin()


def test_a_twin_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    FeatureExtractor(TINY).twin()
    assert list(tmp_path.iterdir()) == []


def test_a_twin_takes_no_options() -> None:
    first = _native.FeatureExtractor("pixels", filter="box")
    with pytest.raises(ValueError, match=r"^an extractor's twin has its options: give none$"):
        _native.FeatureExtractor(first, filter="nearest")


def test_a_model_file_that_has_changed_gives_no_twin(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(Path(TINY).read_bytes())
    network = FeatureExtractor(path)
    path.write_bytes((DATA / "fixed_batch.onnx").read_bytes())
    with pytest.raises(sparkcider.ModelError, match="the file has changed since it was opened"):
        network.twin()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="model file not found"):
        network.twin()


def test_the_example_in_the_docstring_runs() -> None:
    examples = doctest.DocTestParser().get_doctest(FeatureExtractor.__doc__ or "", {}, "FeatureExtractor", None, None)
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0
