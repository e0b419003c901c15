"""The embedded job on an S3 server beside it: images, results and resume, with the keys of a role and without Spark."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

BUCKET = "bucket"


def sparkcider(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sparkcider", "run", "--input", f"s3://{BUCKET}/images", "--model", "fruits-tiny"]
    command += ["--output", f"s3://{BUCKET}/results/out", "--glob", "*.{jpg,png}", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)


def test_images_and_results_in_s3_need_no_spark(tmp_path: Path):
    pytest.importorskip("moto.server", reason="needs moto[server]")
    from s3_server import role_store

    write_samples(tmp_path, images_per_label=1)
    with role_store() as store:
        client = store.client()
        client.create_bucket(Bucket=BUCKET)
        for path in tmp_path.rglob("*.*"):
            client.put_object(Bucket=BUCKET, Key=f"images/{path.relative_to(tmp_path)}", Body=path.read_bytes())
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = {**ours, **store.environment, "AWS_ENDPOINT_URL": store.url, "AWS_REGION": "us-east-1"}

        done = sparkcider(environment, "--pca-k", "3")
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("engine    embedded (nothing here needs Spark)")
        keys = {entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET, Prefix="results/")["Contents"]}
        assert {key.split("/")[2] for key in keys if key.count("/") > 1} - {""} == {  # pyarrow marks folders
            "features", "pca", "pca-model", "findings", "explained_variance.csv", "job.json", "report.html",
            "summary.json",
        }  # fmt: skip
        assert not [key for key in keys if ".partial" in key]
        parts = [key for key in keys if key.startswith("results/out/features/part-")]
        bodies = [client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in parts]
        table = pd.concat([pd.read_parquet(io.BytesIO(body)) for body in bodies]).sort_values("path", ignore_index=True)
        names = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")]
        assert list(table.path) == sorted(f"s3://{BUCKET}/images/{name}" for name in names)
        contents = [(tmp_path / path.split("/images/")[1]).read_bytes() for path in table.path]
        expected, _ = FeatureExtractor("fruits-tiny").extract(pa.array(contents))
        assert [None if row is None else list(row) for row in table.features] == expected.to_pylist()
        summary = json.loads(client.get_object(Bucket=BUCKET, Key="results/out/summary.json")["Body"].read())
        assert (summary["engine"], summary["images"], summary["errors"]) == ("embedded", 20, 1)

        refused = sparkcider(environment, "--pca-k", "3")
        assert refused.returncode == 2
        assert "exists; take another name" in refused.stderr
        unchanged = sparkcider(environment, "--pca-k", "3", "--resume")
        assert "nothing has changed" in unchanged.stderr
        client.put_object(Bucket=BUCKET, Key="images/Lime/new.jpg", Body=(tmp_path / "Lime" / "000.jpg").read_bytes())
        grown = sparkcider(environment, "--pca-k", "3", "--resume")
        assert grown.returncode == 0, grown.stderr
        summary = json.loads(client.get_object(Bucket=BUCKET, Key="results/out/summary.json")["Body"].read())
        assert (summary["embedded"], summary["images"]) == (1, 21)
        said = done.stderr + refused.stderr + unchanged.stderr + grown.stderr
        assert not [secret for secret in store.hidden if secret in said]
