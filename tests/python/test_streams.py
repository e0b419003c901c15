"""Arrow streams are read batch by batch, and a thread that waits for the native side stops no other."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from lazy_stream import LazyStream

from sparkcider import FeatureExtractor, Moments, Pca, PcaError, SparkciderError
from sparkcider._native import RandomizedPca, Sketch, _feature_column

ROWS, WIDTH = 500, 1000
LISTS = pa.list_(pa.float64(), WIDTH)


def rows(number: int) -> pa.Array:
    values = np.random.default_rng(number).normal(size=ROWS * WIDTH)
    return pa.FixedSizeListArray.from_arrays(values, WIDTH)


def fitted() -> Pca:
    moments = Moments()
    moments.update(rows(0))
    return Pca(k=2).fit(moments)


def jpeg(side: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.effect_noise((side, side), 80).save(file, "JPEG")
    return file.getvalue()


CONSUMERS = {
    "Moments.update": lambda stream: Moments().update(stream),
    "Sketch.update": lambda stream: Sketch(RandomizedPca(WIDTH, width=3).basis()).update(stream),
    "Pca.transform": lambda stream: fitted().transform(stream),
    "Pca.reconstruction_error": lambda stream: fitted().reconstruction_error(stream),
}


@pytest.mark.parametrize("consume", CONSUMERS.values(), ids=CONSUMERS)
def test_a_stream_of_a_wrong_type_fails_before_anything_is_pulled(consume):
    stream = LazyStream(lambda _: pa.array([1, 2]), pa.int64(), 3)
    with pytest.raises(TypeError, match="expected a column of lists of float32 or float64"):
        consume(stream)
    assert stream.pulled == 0


def test_a_stream_of_no_images_fails_before_anything_is_pulled():
    stream = LazyStream(lambda _: pa.array(["a"]), pa.string(), 3)
    with pytest.raises(TypeError, match="expected a column of binary"):
        FeatureExtractor("pixels").extract(stream)
    assert stream.pulled == 0


@pytest.mark.parametrize("consume", CONSUMERS.values(), ids=CONSUMERS)
def test_a_bad_row_ends_a_stream_at_its_batch(consume):
    bad = pa.array([[0.0] * (WIDTH - 1) + [np.nan]], LISTS)
    stream = LazyStream(lambda number: bad if number == 2 else rows(number), LISTS, 5)
    with pytest.raises(PcaError, match="row 0 has a NaN or an infinity"):
        consume(stream)
    assert stream.pulled == 2


@pytest.mark.parametrize("consume", CONSUMERS.values(), ids=CONSUMERS)
def test_what_a_producer_raises_is_in_the_message(consume):
    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([rows(1)], ["features"])
        raise RuntimeError("the source of batch 2 is gone")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("features", LISTS)]), batches())
    with pytest.raises(SparkciderError, match="the source of batch 2 is gone"):
        consume(reader)


def test_a_stream_is_read_once():
    capsule = pa.chunked_array([rows(1)]).__arrow_c_stream__()
    stream = SimpleNamespace(__arrow_c_stream__=lambda: capsule)
    moments = Moments()
    moments.update(stream)
    with pytest.raises(TypeError, match="the Arrow stream has been read already"):
        moments.update(stream)
    assert moments.n_samples == ROWS


def test_columns_cross_without_a_copy_and_are_released():
    before = pa.total_allocated_bytes()
    given = pa.array([[1.0] * 1000] * 1000, pa.list_(pa.float64()))
    size = pa.total_allocated_bytes() - before
    for column in (given, pa.chunked_array([given, given])):
        crossed = _feature_column(column)
        assert crossed.equals(column)
        assert pa.total_allocated_bytes() < before + 1.1 * size
        del crossed
    assert given.values.buffers()[1].address == _feature_column(given).values.buffers()[1].address
    del given, column
    assert pa.total_allocated_bytes() < before + 0.1 * size


def test_batches_before_a_bad_one_stay_added():
    bad = pa.array([[np.nan] * WIDTH], LISTS)
    moments = Moments()
    with pytest.raises(PcaError):
        moments.update(LazyStream(lambda number: bad if number == 3 else rows(number), LISTS, 5))
    assert moments.n_samples == 2 * ROWS


@pytest.mark.parametrize("name", ["Moments.update", "Sketch.update"])
def test_a_long_stream_is_summed_in_flat_memory(name):
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("no /proc on this system: resident memory cannot be read")
    batch = rows(1)  # 4 MB; made once, as numpy's generator would take the time of the test
    seen = []

    def copy(number: int) -> pa.Array:
        if number in (20, 120):
            seen.append(int(status.read_text(encoding="ascii").split("VmRSS:")[1].split()[0]))
        return pa.FixedSizeListArray.from_arrays(batch.flatten().to_numpy().copy(), WIDTH)

    stream = LazyStream(copy, LISTS, 121)
    CONSUMERS[name](stream)
    assert stream.pulled == 121
    early, late = seen
    assert late - early < 100_000, f"{late - early} kB for 100 batches of 4,000 kB"


def test_a_stream_gives_a_chunk_for_each_batch_and_one_for_none():
    projected = fitted().transform(LazyStream(rows, LISTS, 3))
    assert [len(chunk) for chunk in projected.chunks] == [ROWS] * 3
    none = fitted().transform(LazyStream(rows, LISTS, 0))
    assert (len(none), none.type) == (0, projected.type)
    features, errors = FeatureExtractor("pixels").extract(LazyStream(lambda _: pa.array([b"x"]), pa.binary(), 2))
    assert (features.num_chunks, errors.num_chunks, features.null_count) == (2, 2, 2)


def test_facts_are_read_while_another_thread_extracts():
    extractor = FeatureExtractor("pixels", input_size=8, filter="bicubic")
    images = pa.array([jpeg(1500)] * 150)  # seconds of work in one call
    done = threading.Event()
    worker = threading.Thread(target=lambda: (extractor.extract(images), done.set()))
    worker.start()
    reads = 0
    while not done.is_set():
        facts = (extractor.embedding_dim, extractor.input_size, extractor.checksum)
        reads += not done.is_set()
    worker.join()
    assert facts == (192, (8, 8), "pixels")
    assert reads > 100, "the facts waited for the end of the call"


def test_a_thread_that_waits_for_the_lock_stops_no_other():
    moments = Moments()
    busy = [threading.Thread(target=moments.update, args=(LazyStream(rows, LISTS, 30),)) for _ in range(2)]
    for thread in busy:
        thread.start()
    counted = 0
    while any(thread.is_alive() for thread in busy):
        counted += 1
        moments.n_samples  # noqa: B018 - waits for the lock
    assert moments.n_samples == 60 * ROWS
    assert counted > 1


def test_the_threads_of_a_solve_have_ended_when_it_returns():
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("no /proc on this system: threads cannot be counted")
    moments = Moments()
    moments.update(rows(3))
    Pca(k=3).fit(moments)
    before = len(list(tasks.iterdir()))
    for _ in range(50):
        Pca(k=3).fit(moments)
        assert len(list(tasks.iterdir())) <= before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Sketch.plain(0), "n_features must be from 1 to 268435456, got 0"),
        (lambda: Sketch.plain(1 << 40), "n_features must be from 1 to"),
        (lambda: RandomizedPca(0, width=1), "n_features must be from 1 to 268435456, got 0"),
        (lambda: RandomizedPca(1 << 40, width=1), "n_features must be from 1 to"),
        (lambda: RandomizedPca(1 << 20, width=1 << 20), "width must be at most 256 for 1048576 features"),
        (lambda: Moments.from_bytes(crafted(b"SCMO", 2, 0, 5, 0)), "cannot have 5 rows of 0 features"),
        (lambda: Pca.from_bytes(crafted(b"SCPC", 0, 1, 5, 0, 0, 0) + bytes(24)), "it has 0 features"),
        (lambda: Pca.from_bytes(crafted(b"SCPC", 4, 5, 5, 0, 0, 0) + bytes(256)), "it cannot have 5 components"),
        (lambda: Sketch.from_bytes(crafted(b"SCSK", 0, 5, 0, 0, 0)), "it has 0 features"),
        (lambda: Sketch(crafted(b"SCBA", 0, 0, 0)), "it has 0 features"),
        (lambda: Pca(k=1 << 62).fit(fresh()), "k must be from 1 to the number of features, 1000"),
        (lambda: Pca(variance=float("nan")).fit(fresh()), "variance must be over 0 and at most 1, got nan"),
    ],
)
def test_impossible_sizes_are_value_errors_that_name_them(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def fresh() -> Moments:
    moments = Moments()
    moments.update(rows(5))
    return moments


def crafted(magic: bytes, *counts: int) -> bytes:
    return magic + (1).to_bytes(4, "little") + b"".join(count.to_bytes(8, "little") for count in counts)


def test_the_error_of_a_long_row_that_all_components_hold_is_rounding():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(60, 8))
    moments = Moments()
    moments.update(pa.array(values.tolist()))
    long = values[:1] * 1e6
    (error,) = Pca(k=8).fit(moments).reconstruction_error(pa.array(long.tolist())).to_pylist()
    assert error < np.linalg.norm(long) * 1e-13
