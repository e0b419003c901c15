# Once for all files: what test_bootstrap.py gives (WHEEL, MODEL, AWS_*, PYTHON) goes to a bucket, and bootstrap.sh runs
# for real, from the package index.

setup_suite() {
    export BOOTSTRAP=$BATS_TEST_DIRNAME/../../bootstrap
    export SUITE=$BATS_SUITE_TMPDIR BUCKET=s3://bucket
    export VENV=$SUITE/node/sparkcider
    aws s3 mb "$BUCKET"
    aws s3 cp --quiet "$WHEEL" "$BUCKET/wheels/$(basename "$WHEEL")"
    aws s3 cp --quiet "$MODEL" "$BUCKET/models/net.onnx"
    WHEEL_URI=$BUCKET/wheels/$(basename "$WHEEL")
    export WHEEL_URI
    "$BOOTSTRAP/emr/bootstrap.sh" --wheel "$WHEEL_URI" --model "$BUCKET/models/net.onnx" --python "$PYTHON" \
        --venv "$VENV" >"$SUITE/first.log" 2>&1 || { cat "$SUITE/first.log" && return 1; }
}
