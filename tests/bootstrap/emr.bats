# bootstrap/emr on this machine, with the real `aws` against an S3 server on loopback.

again() { # arguments: another run on the node that the suite has set up
    run "$BOOTSTRAP/emr/bootstrap.sh" --wheel "$WHEEL_URI" --python "$PYTHON" --venv "$VENV" "$@"
}

fresh() { # arguments: a run on an empty node
    run "$BOOTSTRAP/emr/bootstrap.sh" --python "$PYTHON" --venv "$BATS_TEST_TMPDIR/node" "$@"
}

fails_with() { # exit code, part of the one line that says why
    echo "$output"
    [ "$status" -eq "$1" ]
    [ "$(grep -c '^sparkcider bootstrap failed: ' <<<"$output")" -eq 1 ]
    [[ ${lines[-1]} == "sparkcider bootstrap failed: "*"$2"* ]]
}

@test "the first run installs, proves itself by an inference, and logs each step with its time" {
    cat "$SUITE/first.log"
    grep -E '^ok +inference ' "$SUITE/first.log"
    for step in python folder wheel packages model doctor; do
        grep -E "^[0-9:]+ sparkcider bootstrap: $step: .* \([0-9]+ s\)$" "$SUITE/first.log"
    done
    [[ $(tail -n 1 "$SUITE/first.log") == *"ready after "*" s: $VENV/bin/python" ]]
}

@test "every package is the pinned one" {
    "$VENV/bin/python" -m pip freeze --exclude pip --exclude setuptools | grep -v '^sparkcider' | sort >"$BATS_TEST_TMPDIR/found"
    for name in matplotlib numpy pandas pyarrow; do
        grep "^$name==" "$BATS_TEST_TMPDIR/found"
    done
    while read -r package; do
        grep -q "^$package " "$BOOTSTRAP/emr/bootstrap.sh"
    done <"$BATS_TEST_TMPDIR/found"
    run "$VENV/bin/python" -m pip check
    [ "$status" -eq 0 ]
}

@test "a pre-placed model is found by local:" {
    "$VENV/bin/sparkcider" model show "local:$VENV/models/net.onnx"
    cmp "$MODEL" "$VENV/models/net.onnx"
}

@test "a second run installs nothing and is quick" {
    touch "$VENV/stays"
    SECONDS=0
    again --model "$BUCKET/models/net.onnx"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"packages: are there already"* ]]
    [ -e "$VENV/stays" ]
    ((SECONDS < 15))
}

@test "a checksum is checked" {
    local checksum
    checksum=$(sha256sum <"$MODEL" | cut -d ' ' -f 1)
    again --model "$BUCKET/models/net.onnx#sha256=$checksum"
    [ "$status" -eq 0 ]
    again --model "$BUCKET/models/net.onnx#sha256=${checksum//[0-9]/0}"
    fails_with 6 "net.onnx has not the checksum"
    cmp "$MODEL" "$VENV/models/net.onnx"
}

@test "a missing model, and a file that is not a model" {
    again --model "$BUCKET/models/none.onnx"
    fails_with 6 "cannot fetch $BUCKET/models/none.onnx: "
    echo "<html>" | aws s3 cp --quiet - "$BUCKET/models/page.onnx"
    again --model "$BUCKET/models/page.onnx"
    fails_with 6 "page.onnx is not a model: "
    [ ! -e "$VENV/models/page.onnx" ]
}

@test "wrong arguments" {
    fresh --whel x
    fails_with 2 "no option is called --whel"
    fresh --model
    fails_with 2 "--model needs a value"
    fresh --wheel gs://bucket/x.whl
    fails_with 2 "only s3://"
    fresh --wheel latest
    fails_with 2 "--wheel takes a version, a .whl file or a folder"
    run "$BOOTSTRAP/emr/bootstrap.sh" --venv opt
    fails_with 2 "--venv must be a path such as"
}

@test "a Python that cannot be used" {
    run "$BOOTSTRAP/emr/bootstrap.sh" --python no-python --venv "$BATS_TEST_TMPDIR/node"
    fails_with 3 "no-python cannot make a virtualenv"
    printf '#!/bin/sh\necho 3.7\n' >"$BATS_TEST_TMPDIR/python3.7"
    chmod +x "$BATS_TEST_TMPDIR/python3.7"
    run "$BOOTSTRAP/emr/bootstrap.sh" --python "$BATS_TEST_TMPDIR/python3.7" --venv "$BATS_TEST_TMPDIR/node"
    fails_with 3 "is Python 3.7; the pinned packages are for 3.9 to 3.13"
}

@test "a folder of someone else stays as it is" {
    mkdir "$BATS_TEST_TMPDIR/node"
    touch "$BATS_TEST_TMPDIR/node/precious"
    fresh --wheel "$WHEEL_URI"
    fails_with 4 "was not made by this script"
    [ -e "$BATS_TEST_TMPDIR/node/precious" ]
}

@test "a folder that cannot be made" {
    run "$BOOTSTRAP/emr/bootstrap.sh" --python "$PYTHON" --venv /proc/sparkcider
    fails_with 4 "cannot make /proc/sparkcider: "
}

@test "a missing wheel, a broken one, one of another name" {
    fresh --wheel "$BUCKET/wheels/sparkcider-9.9.9-cp39-abi3-linux.whl"
    fails_with 5 "cannot fetch $BUCKET/wheels/sparkcider-9.9.9-cp39-abi3-linux.whl: "
    local broken
    broken=$BATS_TEST_TMPDIR/$(basename "$WHEEL")
    head -c 100000 "$WHEEL" >"$broken"
    fresh --wheel "$broken"
    fails_with 5 "cannot install the packages: "
    cp "$WHEEL" "$BATS_TEST_TMPDIR/other-1.0-py3-none-any.whl"
    fresh --wheel "$BATS_TEST_TMPDIR/other-1.0-py3-none-any.whl"
    fails_with 5 "no sparkcider-*.whl in "
}

@test "a version, which the index has or has not" {
    PIP_FIND_LINKS=$(dirname "$WHEEL") again --wheel "$(sed -n 's/^readonly VERSION=//p' "$BOOTSTRAP/emr/bootstrap.sh")"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"packages: are there already"* ]]
    fresh --wheel 0.0.0.dev0
    fails_with 5 "cannot get sparkcider 0.0.0.dev0: "
}

@test "no package index within reach" {
    PIP_INDEX_URL=http://127.0.0.1:9/simple fresh --wheel "$WHEEL_URI"
    fails_with 5 "cannot install the packages: no package index can be reached"
}

@test "the version that is installed by default is the crate's" {
    grep -qx "readonly VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' "$BOOTSTRAP/../Cargo.toml" | head -n 1)" \
        "$BOOTSTRAP/emr/bootstrap.sh"
}

@test "every configuration names the Python of the default folder, and has memory for the Python processes" {
    "$PYTHON" - "$BOOTSTRAP/emr/configurations.json" "$(sed -n 's/^venv=//p' "$BOOTSTRAP/emr/bootstrap.sh")" <<'PYTHON'
import json, sys
settings = {}
for entry in json.load(open(sys.argv[1])):
    settings[entry["Classification"]] = entry["Properties"]
    for nested in entry.get("Configurations", []):
        settings[entry["Classification"]] = nested["Properties"]
spark, python = settings["spark-defaults"], sys.argv[2] + "/bin/python"
assert spark["spark.pyspark.python"] == spark["spark.pyspark.driver.python"] == python
assert spark["spark.yarn.appMasterEnv.PYSPARK_PYTHON"] == spark["spark.executorEnv.PYSPARK_PYTHON"] == python
for name in ("spark-env", "yarn-env", "livy-env"):
    assert settings[name]["PYSPARK_PYTHON"] == python, name
overhead = int(spark["spark.executor.memoryOverhead"][:-1]) * 1024
assert overhead >= int(spark["spark.executor.cores"]) * 250 + 0.1 * int(spark["spark.executor.memory"][:-1]) * 1024
PYTHON
}

@test "create-cluster.sh makes a cluster with everything in it" {
    # `aws emr` of version 1 does not read AWS_ENDPOINT_URL.
    printf '#!/bin/sh\nexec %s --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n' "$(command -v aws)" >"$BATS_TEST_TMPDIR/aws"
    chmod +x "$BATS_TEST_TMPDIR/aws"
    PATH=$BATS_TEST_TMPDIR:$PATH
    run "$BOOTSTRAP/emr/create-cluster.sh" --to "$BUCKET/emr" --region eu-west-3 --subnet subnet-1 \
        --wheel "$WHEEL" --model "$BUCKET/models/net.onnx" --spot
    [ "$status" -eq 0 ]
    local id
    id=$(grep -o 'j-[A-Z0-9]*' <<<"$output" | head -n 1)
    aws s3 ls "$BUCKET/emr/bootstrap.sh"
    aws s3 ls "$BUCKET/emr/$(basename "$WHEEL")"
    run aws emr describe-cluster --region eu-west-3 --cluster-id "$id"
    [[ $output == *"$BUCKET/emr/bootstrap.sh"* && $output == *"$BUCKET/emr/$(basename "$WHEEL")"* ]]
    [[ $output == *jupyter-s3-conf* && $output == *'"s3.persistence.bucket": "bucket"'* ]]
}

@test "create-cluster.sh --dry-run prints the calls and makes none" {
    AWS_ENDPOINT_URL=http://127.0.0.1:9 run "$BOOTSTRAP/emr/create-cluster.sh" --to s3://b/f --region r --subnet s --dry-run
    echo "$output"
    [ "$status" -eq 0 ]
    [[ ${lines[0]} == "aws s3 cp "*"/bootstrap.sh s3://b/f/bootstrap.sh "* ]]
    [[ ${lines[1]} == "aws emr create-cluster "*"m5.xlarge"*"IdleTimeout=3600"* ]]
    run "$BOOTSTRAP/emr/create-cluster.sh" --to s3://b/f --region r
    [ "$status" -eq 2 ]
}

@test "submit.sh starts a serverless job with its words as they are" {
    run aws emr-serverless create-application --region eu-west-3 --type SPARK --release-label emr-7.13.0 --name x
    local id
    id=$(sed -n 's/.*"applicationId": "\(.*\)".*/\1/p' <<<"$output")
    run "$BOOTSTRAP/emr-serverless/submit.sh" --archive "$BUCKET/sparkcider.tar.gz" --application "$id" \
        --role arn:aws:iam::123456789012:role/job --region eu-west-3 -- run --input "s3://bucket/a folder" --output x
    echo "$output"
    [ "$status" -eq 0 ]
    run aws emr-serverless get-job-run --region eu-west-3 --application-id "$id" \
        --job-run-id "$(sed -n 's/.*"jobRunId": "\(.*\)".*/\1/p' <<<"$output")"
    [[ $output == *'"s3://bucket/a folder"'* ]]
    [[ $output == *"spark.archives=$BUCKET/sparkcider.tar.gz#environment"* ]]
    [ "$(grep -o 'PYTHON=./environment/bin/python' <<<"$output" | wc -l)" -eq 3 ]
}

@test "wrong arguments of the serverless scripts" {
    run "$BOOTSTRAP/emr-serverless/pack.sh"
    [ "$status" -eq 2 ]
    run "$BOOTSTRAP/emr-serverless/submit.sh" --archive s3://b/a.tar.gz --application 1 --role r --
    [ "$status" -eq 2 ]
    [[ $output == *"nothing to run"* ]]
}
