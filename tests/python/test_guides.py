"""The guides: commands run against stand-ins for the clouds, messages are real, numbers are computed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDES = REPOSITORY / "docs" / "guides"
POLICIES = REPOSITORY / "bootstrap" / "emr" / "policies"
PROGRAMS = Path(sys.executable).parent

# What the guides' commands find in place of what takes long and is tested elsewhere. aws is the real one, whose
# commands for EMR must be told where AWS is; gcloud and databricks only say what they were asked.
STAND_INS = """
make() { command make --dry-run -C "$REPOSITORY" "$@" >/dev/null; }
pip() { [[ $1 == install && $2 == dist/sparkcider-*.whl* ]]; }
sparkcider() {
    [[ $1 == export && $3 == --to ]]
    "$PYTHON" -c 'import sys; from sparkcider.models import REGISTRY; sys.exit(sys.argv[1] not in REGISTRY)' "$2"
    echo model >"$4"
}
"""
AWS = """#!/bin/sh
case "$1 $2 $3" in
"emr create-default-roles "*) exec "$REAL_AWS" "$@" --iam-endpoint "$AWS_ENDPOINT_URL" ;;
"emr wait cluster-running") shift 3 && exec "$0" emr describe-cluster "$@" ;; # there nothing goes on, so nothing ends
"emr wait step-complete") shift 3 && exec "$0" emr describe-step "$@" ;;
*) exec "$REAL_AWS" --endpoint-url "$AWS_ENDPOINT_URL" "$@" ;;
esac
"""
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ "$*" != "config get-value project" ] || echo project
"""


def blocks(guide: str, language: str = "sh") -> list[str]:
    text = (GUIDES / guide).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout with images and a wheel, where commands may write."""
    for name in ("bootstrap", "python"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    for name in ("dist/sparkcider-0.2.0-cp39-abi3-manylinux_2_28_x86_64.whl", "images/apple/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    return tmp_path


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, checkout: Path) -> Iterator[dict[str, str]]:
    """AWS on loopback, and how `aws` finds it."""
    aws = shutil.which("aws", path=f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    if aws is None:
        pytest.skip("needs aws: pip install awscli")
    moto = pytest.importorskip("moto.server", reason="needs moto[s3] and flask")
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    # moto keeps one state per process: an earlier test may have made it without the managed policies.
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    reset = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")  # noqa: S310 - its own server
    urllib.request.urlopen(reset).close()  # noqa: S310
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    yield {
        **inherited,
        "PATH": f"{program(checkout, 'aws', AWS)}{os.pathsep}{os.environ['PATH']}",
        "REAL_AWS": aws,
        "HOME": str(checkout),  # `aws` notes default roles in its configuration
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


def program(checkout: Path, name: str, script: str) -> Path:
    """Puts a program into a folder beside the checkout's own; returns the folder."""
    path = checkout / "programs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path.parent


def bash(script: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{STAND_INS}\n{script}"],
        cwd=folder,
        env={**environment, "REPOSITORY": str(REPOSITORY), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_guide_to_emr_runs_as_it_stands(cloud: dict[str, str], checkout: Path):
    script = "\n".join(blocks("emr.md"))
    # The environment is packed by tests/bootstrap/clean_root.
    script = script.replace("bootstrap/emr-serverless/pack.sh", "true")
    # The stand-in for AWS has no Spark: the result is put there.
    script = script.replace(
        'aws s3 cp "s3://$BUCKET/results/fruits/summary.json" -',
        'echo {} | aws s3 cp - "s3://$BUCKET/results/fruits/summary.json"',
    )
    script += """
aws emr describe-cluster --cluster-id "$CLUSTER" >cluster.json
aws emr describe-step --cluster-id "$CLUSTER" --step-id "$STEP" >step.json
aws emr-serverless list-job-runs --application-id "$APPLICATION" >runs.json
"""
    bash(script, checkout, cloud)
    cluster = json.loads((checkout / "cluster.json").read_text())["Cluster"]
    assert cluster["Ec2InstanceAttributes"]["IamInstanceProfile"] == "sparkcider-node"
    assert cluster["Status"]["State"].startswith("TERMINAT")
    words = json.loads((checkout / "step.json").read_text())["Step"]["Config"]["Args"]
    assert words[words.index("run") + 1 :][::2] == ["--input", "--output", "--model", "--pca-variance", "--standardize"]
    assert len(json.loads((checkout / "runs.json").read_text())["jobRuns"]) == 1
    assert (checkout / "fruits" / "summary.json").is_file()


@pytest.mark.parametrize("guide", ["dataproc.md", "databricks.md"])
def test_the_commands_of_the_other_clouds_are_whole(guide: str, checkout: Path):
    programs = [program(checkout, name, PROGRAM) for name in ("gcloud", "databricks")]
    calls = checkout / "calls"
    path = f"{programs[0]}{os.pathsep}{os.environ['PATH']}"
    bash("\n".join(blocks(guide)), checkout, {**os.environ, "PATH": path, "CALLS": str(calls)})
    asked = calls.read_text()
    if guide == "dataproc.md":
        assert "clusters create sparkcider --region europe-west9" in asked
        assert "--service-account sparkcider-node@project.iam.gserviceaccount.com" in asked
        assert asked.count("submit pyspark") == 2


def test_the_guide_to_a_laptop_runs_as_it_stands(checkout: Path):
    pytest.importorskip("pyspark", reason="needs the extra sparkcider[spark]")
    (checkout / "images" / "apple" / "1.jpg").unlink()
    write_samples(checkout / "images")
    fruits = checkout / "fruits" / "bin"
    fruits.mkdir(parents=True)
    (fruits / "sparkcider").symlink_to(PROGRAMS / "sparkcider")
    script = "python3() { [[ $* == '-m venv fruits' ]]; }\nfruits/bin/pip() { pip \"$@\"; }\n"
    printed = bash(script + "".join(blocks("laptop.md")), checkout, {**os.environ, "PYSPARK_PYTHON": sys.executable})
    assert re.search(r"^ok +inference", printed, re.MULTILINE)
    assert list((checkout / "result" / "pca-csv").rglob("*.csv"))


def test_the_words_given_to_sparkcider_run_are_its_own():
    from sparkcider.cli import _parser

    for guide in ("emr.md", "dataproc.md", "laptop.md"):
        text = "".join(blocks(guide)).replace("\\\n", " ").replace('\\"', "").replace(",", "").replace('"', "")
        runs = re.findall(r"\brun\s+(--input.+?)(?:\]\}\]|\n(?!\s+--)|$)", text, re.DOTALL)
        assert runs, guide
        for words in runs:
            _parser().parse_args(["run", *words.split()])


def policy(name: str) -> dict[str, Any]:
    text = (POLICIES / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text.replace("YOUR-BUCKET", "ours").replace("YOUR-ACCOUNT", "123456789012"))


def test_the_policies_name_what_they_allow():
    for name in ("node", "user"):
        for statement in policy(name)["Statement"]:
            assert "*" not in "".join(statement["Action"]), statement["Sid"]
            # Clusters that do not exist yet have no name.
            assert statement["Resource"] != "*" or statement["Sid"] == "CreateClusters"
    for name in ("ec2-trust", "serverless-trust"):
        (statement,) = policy(name)["Statement"]
        assert statement["Action"] == "sts:AssumeRole"


def test_a_node_may_read_its_bucket_and_write_results_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("moto", reason="needs moto[s3]")
    from moto import mock_aws
    from moto.core import set_initial_no_auth_action_count

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    with mock_aws():
        s3 = as_a_node()
        try_out = set_initial_no_auth_action_count(0)(lambda call, **what: outcome(getattr(s3, call), **what))
        assert try_out("get_object", Bucket="ours", Key="images/1.jpg") == "done"
        assert try_out("list_objects_v2", Bucket="ours") == "done"
        assert try_out("put_object", Bucket="ours", Key="results/fruits/part-0") == "done"
        assert try_out("delete_object", Bucket="ours", Key="results/fruits/part-0") == "done"
        assert try_out("put_object", Bucket="ours", Key="sparkcider/bootstrap.sh") == "AccessDenied"
        assert try_out("delete_object", Bucket="ours", Key="images/1.jpg") == "AccessDenied"
        assert try_out("get_object", Bucket="theirs", Key="images/1.jpg") == "AccessDenied"
        assert try_out("create_bucket", Bucket="another") == "AccessDenied"


def as_a_node() -> Any:
    """S3 for somebody with the rights of node.json; two buckets, each with an image."""
    import boto3

    root = boto3.client("s3", region_name="us-east-1")
    for bucket in ("ours", "theirs"):
        root.create_bucket(Bucket=bucket)
        root.put_object(Bucket=bucket, Key="images/1.jpg", Body=b"image")
    iam = boto3.client("iam", region_name="us-east-1")
    iam.create_user(UserName="node")
    iam.put_user_policy(UserName="node", PolicyName="bucket", PolicyDocument=json.dumps(policy("node")))
    key = iam.create_access_key(UserName="node")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    return boto3.client("s3", region_name="us-east-1", **keys)


def outcome(call: Callable[..., object], **what: str) -> str:
    from botocore.exceptions import ClientError

    try:
        call(**what)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def test_every_message_that_is_ours_is_in_the_sources():
    page = (GUIDES / "troubleshooting.md").read_text(encoding="utf-8")
    ours = page.partition("## What sparkcider says")[2].partition("## What others say")[0]
    messages = re.findall(r"^\| `([^`]+)`", ours, re.MULTILINE)
    assert len(messages) > 20
    folders = [REPOSITORY / name for name in ("src", "python", "bootstrap", "build_backend")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".rs", ".py", ".sh"}]
    # A message stands in one line there, or in string literals one below the other; what differs is in braces.
    sources = [re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8")) for path in files]
    for message in messages:
        pattern = r"[^\n]*".join(re.escape(part) for part in message.split("..."))
        assert any(re.search(pattern, source) for source in sources), message


def test_the_costs_follow_from_the_benchmarks():
    page = (GUIDES / "costs.md").read_text(encoding="utf-8")
    benchmarks = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    ours, keras = (
        float(re.search(rf"^\|.*{name}.*?\| ([\d.]+|\*\*[\d.]+\*\*) \|", benchmarks, re.MULTILINE)[1].strip("*"))
        for name in (r"\*\*sparkcider\*\*, JPEG", "Keras in an iterator")
    )
    int8 = float(re.search(r"int8 (\d+) images/s", benchmarks)[1])
    cells = re.findall(r"^\| (\S+), (float32|int8|the Keras UDF) \| (.+) \|$", page, re.MULTILINE)
    rows = {(network, kind): text.split(" | ") for network, kind, text in cells}
    assert len(rows) == 7
    for kind, of_two_cores in (("float32", ours), ("int8", int8), ("the Keras UDF", keras)):
        assert abs(float(rows["MobileNetV2", kind][0]) - of_two_cores / 2) <= 0.051
    prices = [float(price) for price in re.findall(r"^\| (?:EMR|Dataproc) price \| ([\d.]+) \$", page, re.MULTILINE)]
    assert len(prices) == 2
    for of_a_core, *told in rows.values():
        speed = float(of_a_core) * 0.5 * 2 * 4
        hours = 1e6 / speed / 3600 + 10 / 60
        assert told == [f"{speed:,.0f}", f"{hours:.2f}", *(f"{hours * 3 * price:.2f}" for price in prices)]


def markdown() -> list[Path]:
    folders = [REPOSITORY / name for name in ("docs", "bootstrap", "notebooks", "tests", ".github")]
    return [*REPOSITORY.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))]


@pytest.mark.parametrize("page", markdown(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(((?!\w+:)[^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings: small letters, no punctuation, dashes for spaces."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_snippets_without_spark_run_one_after_the_other(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="needs scikit-learn, which brings joblib")
    write_samples(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks("python.md", "python"):
        exec(block, names)  # noqa: S102 - the page's own code
    features = names["features"]
    assert len(names["paths"]) == len(features) > 100
    assert names["errors"].null_count == len(features) - features.null_count
    assert len(names["components"]) == len(features)
    assert names["search"].best_params_ == {"pca__k": 32}
    assert names["search"].best_score_ > 0.6  # 20 classes
    assert sum(map(len, names["parts"][0])) == 2 * len(names["files"][::2])
