"""Images and results in S3 through Spark's own connector, with the keys of a role; stores that a Spark cannot reach."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from maven_jars import hadoop_version, s3_connector
from spark_clusters import environment, event_log, standalone_master, standalone_worker, submit_command
from spark_images import GOOD, TINY_MODEL

from sparkcider import FeatureExtractor
from sparkcider.job import JobConfig
from sparkcider.samples import write_samples
from sparkcider.storage.hadoop import reachable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.timeout(600)  # the jars may take 240 s, and the three runs 280
BUCKET = "bucket"
SCRIPT = Path(__file__).parent / "closures_script.py"


@pytest.fixture(scope="module")
def connector(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The jars of hadoop-aws."""
    return s3_connector(tmp_path_factory.mktemp("connector"))


class Finished(NamedTuple):
    """What runs in S3 left behind."""

    codes: list[int]
    objects: dict[str, bytes]
    folder: Path
    printed: str
    images: Path
    hidden: list[str]
    denied: list[str]
    handed_out: int

    def table(self, name: str) -> pd.DataFrame:
        """A table of the result."""
        parts = [io.BytesIO(self.objects[key]) for key in self.objects if key.startswith(f"a/out/{name}/part-")]
        return pd.concat([pd.read_parquet(part) for part in parts]).sort_values("path", ignore_index=True)


@pytest.fixture(scope="module")
def finished(connector: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """`sparkcider run` to S3 on a standalone cluster: a result, a failure, a result in place of the first."""
    pytest.importorskip("moto.server", reason="needs moto[server]")
    from s3_server import role_store

    folder, images = tmp_path_factory.mktemp("s3"), tmp_path_factory.mktemp("images")
    write_samples(images, images_per_label=2)
    with ExitStack() as stack:
        store = stack.enter_context(role_store())
        client = store.client()
        client.create_bucket(Bucket=BUCKET)
        for path in images.rglob("*.*"):
            client.put_object(Bucket=BUCKET, Key=f"images/{path.relative_to(images)}", Body=path.read_bytes())
        client.put_object(Bucket=BUCKET, Key="tiny.onnx", Body=TINY_MODEL.read_bytes())
        other_secret = secrets.token_urlsafe(30)  # of the environment; a closure that took it along would show it
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        endpoint = {"AWS_ENDPOINT_URL": store.url, "AWS_REGION": "us-east-1"}
        for name, value in {**store.environment, **endpoint, "OTHER_SECRET": other_secret}.items():
            patch.setenv(name, value)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        master = stack.enter_context(standalone_master(folder))
        stack.enter_context(standalone_worker(folder, "worker", master))
        done = subprocess.run(
            command(master, folder, store.url, connector), env=environment(), cwd=folder, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:]
        keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
        objects = {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
    codes = json.loads((folder / "codes").read_text())
    hidden = [*store.hidden, other_secret]
    return Finished(codes, objects, folder, done.stdout, images, hidden, store.denied, store.handed_out)


def command(master: str, folder: Path, url: str, jars: list[Path]) -> list[str]:
    """`spark-submit` of three runs, with no key in it."""
    model = f"s3://{BUCKET}/tiny.onnx"
    words = ["run", "--input", f"s3://{BUCKET}/images", "--output", f"s3a://{BUCKET}/a/out", "--model", model]
    words += ["--verbose", "--mode", "overwrite"]
    runs = [[*words, "--pca-k", "3"], [*words, "--glob", "broken.jpg"], [*words, "--pca-k", "2", "--format", "json"]]
    settings = {
        **event_log(folder / "events"),
        "spark.jars": ",".join(map(str, jars)),
        "spark.hadoop.fs.s3a.endpoint": url,
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }
    return submit_command(master, SCRIPT, [str(folder), json.dumps(runs)], settings)


def test_the_result_in_s3_is_whole_and_alone(finished: Finished):
    assert finished.codes == [0, 2, 0]
    names = {key.removeprefix("a/out/").partition("/")[0] for key in finished.objects if key.startswith("a/out/")}
    tables = {"features", "features-json", "pca", "pca-json", "pca-model"}  # the first result had two less
    assert names - {""} == {*tables, "explained_variance.csv", "findings", "job.json", "report.html", "summary.json"}
    assert {key.partition("/")[0] for key in finished.objects} == {"a", "images", "tiny.onnx"}
    assert all(key.startswith("a/out/") for key in finished.objects if key.startswith("a/") and key != "a/")
    summary = json.loads(finished.objects["a/out/summary.json"])
    assert (summary["images"], summary["pca"]["k"]) == (len(finished.table("pca")), 2)


def test_features_from_s3_are_the_extractors_bit_for_bit(finished: Finished):
    table = finished.table("features")
    files = sorted(path for path in finished.images.rglob("*.*") if path.is_file())
    assert list(table.path) == [f"s3a://{BUCKET}/images/{path.relative_to(finished.images)}" for path in files]
    expected, _ = FeatureExtractor(str(TINY_MODEL)).extract(pa.array([path.read_bytes() for path in files]))
    good = table.features.notna()
    assert list(~good) == [path.name == "broken.jpg" for path in files]
    found = np.stack(table.features[good])
    np.testing.assert_array_equal(found, expected.drop_null().flatten().to_numpy().reshape(found.shape))


def test_the_keys_of_the_role_were_used_and_stand_nowhere(finished: Finished):
    assert finished.handed_out > 0
    assert finished.denied == []
    pickles = (finished.folder / "pickles").read_bytes()
    assert b"sparkcider.spark.worker" in pickles  # the closures are in it
    left = {path.name: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    assert {"pickles", "master.log", "worker.log", "stderr"} < set(left)  # stderr: an executor's log
    for name, content in {**left, **finished.objects, "printed": finished.printed.encode()}.items():
        for secret in finished.hidden:
            assert secret.encode() not in content, name


def test_the_summary_names_the_model(finished: Finished):
    summary = json.loads(finished.objects["a/out/summary.json"])
    assert summary["model"]["name"] == summary["config"]["model"] == f"s3://{BUCKET}/tiny.onnx"


def test_images_in_s3_are_listed_by_spark_and_fetched_by_its_workers(connector: list[Path], tmp_path: Path):
    script = Path(__file__).with_name("listing_script.py")
    command = [sys.executable, str(script), ",".join(map(str, connector))]
    done = subprocess.run(
        command, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["requests_for_files"] == []  # binaryFile would ask for each file once more
    assert found["labels"] == [str(number) for number in (0, 1, 2) for _ in range(number, GOOD, 3)]
    assert found["errors"] == []
    assert found["equal"]


@pytest.mark.parametrize("part", ["input", "output"])
def test_a_password_in_a_uri_is_refused_and_not_repeated(part: str):
    places = {"input": "in", "output": "out", part: "s3a://KEY:PASSWORD@bucket/a"}
    with pytest.raises(ValueError, match=f"^{part} has a password in its URI; ") as caught:
        JobConfig(**places, model="pixels")
    assert "PASSWORD" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3a://b/x", "no file system for s3a://, which s3a://b/x needs; .*org.apache.hadoop:hadoop-aws:HADOOP$"),
        ("s3://b/x", "no file system for s3a://, which s3a://b/x needs; .*org.apache.hadoop:hadoop-aws:HADOOP$"),
        ("gs://b/x", "no file system for gs://, which gs://b/x needs; .*fs.gs.impl=com.google.cloud.hadoop"),
        ("abfss://c@a.dfs.core.windows.net/x", "for abfss://.* needs; .*org.apache.hadoop:hadoop-azure:HADOOP$"),
    ],
)
def test_a_store_that_spark_cannot_reach_says_what_to_set(spark: SparkSession, uri: str, message: str):
    with pytest.raises(ValueError, match=message.replace("HADOOP", hadoop_version())):
        reachable(spark, uri)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_platforms_own_file_system_keeps_its_name(spark: SparkSession, scheme: str):
    settings: Any = spark._jsc.hadoopConfiguration()
    settings.set(f"fs.{scheme}.impl", "org.apache.hadoop.fs.RawLocalFileSystem")  # as EMR and Dataproc name theirs
    try:
        assert reachable(spark, f"{scheme}://b/x") == f"{scheme}://b/x"
    finally:
        settings.unset(f"fs.{scheme}.impl")


@pytest.mark.parametrize("path", ["/a/b", "relative/*", "file:/a", "hdfs://name/a", "dbfs:/a"])
def test_other_paths_stay_as_they_are(spark: SparkSession, path: str):
    assert reachable(spark, path) == path
