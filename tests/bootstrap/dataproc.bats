# bootstrap/dataproc with a Python that stands for the image's, and stand-ins for `gcloud` and the metadata server.

load platform

setup() {
    NODE=$BATS_TEST_TMPDIR
    STORE=$NODE/store # gs://bucket
    mkdir -p "$NODE/bin" "$STORE"
    export PATH=$NODE/bin:$PATH STORE NODE SPARKCIDER_MODELS=$NODE/models
    program gcloud 'test "$1 $2" = "storage cp" || { echo "$@" >>"$NODE/calls"; exit; }
        case $4 in gs://*) exit ;; esac
        cp "$STORE/${3#gs://bucket/}" "$4" 2>/dev/null || { echo "ERROR: (gcloud.storage.cp) no such object $3" >&2; exit 1; }'
    program get_metadata_value 'cat "$NODE/${1##*/}"'
    platform_python "$NODE/conda"
    echo "$NODE/conda/bin/python" >"$NODE/sparkcider-python"
    cp "$WHEEL" "$MODEL" "$STORE/"
    echo "gs://bucket/$(basename "$WHEEL")" >"$NODE/sparkcider-wheel"
}

program() { # name, text
    printf '#!/bin/sh\n%s\n' "$2" >"$NODE/bin/$1"
    chmod +x "$NODE/bin/$1"
}

fails_with() { # exit code, part of the one line that says why
    echo "$output"
    [ "$status" -eq "$1" ]
    [[ ${lines[-1]} == "sparkcider init failed: "*"$2"* ]]
}

@test "init.sh installs beside the image's packages, places models, proves itself, and again" {
    "$NODE/conda/bin/python" -m pip freeze --exclude sparkcider >"$NODE/before"
    echo "gs://bucket/fruits-tiny.onnx gs://bucket/fruits-tiny.onnx" >"$NODE/sparkcider-models"
    for time in first second; do
        run "$BOOTSTRAP/dataproc/init.sh"
        echo "$time: $output"
        [ "$status" -eq 0 ]
        grep -E '^ok +inference ' <<<"$output"
        [[ ${lines[-1]} == *"ready after "* ]]
    done
    "$NODE/conda/bin/python" -m pip freeze --exclude sparkcider | diff "$NODE/before" -
    "$NODE/conda/bin/python" -m sparkcider model show "local:$NODE/models/fruits-tiny.onnx"
}

@test "init.sh says what is missing" {
    echo "gs://bucket/none.onnx" >"$NODE/sparkcider-models"
    run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 6 "cannot fetch gs://bucket/none.onnx: ERROR: (gcloud.storage.cp) no such object"
    echo "gs://bucket/sparkcider-9-py3-none-any.whl" >"$NODE/sparkcider-wheel"
    run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 5 "cannot fetch gs://bucket/sparkcider-9-py3-none-any.whl"
    rm "$NODE/sparkcider-wheel"
    run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 2 "the metadata sparkcider-wheel must be"
    echo /no/python >"$NODE/sparkcider-python"
    run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 3 "/no/python does not run"
}

@test "init.sh takes the Python of spark-defaults, PYSPARK_PYTHON, Pixi, conda, in this order" {
    rm "$NODE/sparkcider-python"
    export SPARKCIDER_ROOT=$NODE/root
    run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 3 "no Python in spark-defaults.conf, PYSPARK_PYTHON, Pixi or conda"
    for path in opt/conda/default opt/some/.pixi/envs/default; do
        mkdir -p "$SPARKCIDER_ROOT/$path/bin"
        printf '#!/bin/sh\nexit 1\n' >"$SPARKCIDER_ROOT/$path/bin/python"
        chmod +x "$SPARKCIDER_ROOT/$path/bin/python"
        run "$BOOTSTRAP/dataproc/init.sh"
        fails_with 3 "$path/bin/python does not run"
    done
    mkdir -p "$SPARKCIDER_ROOT/etc/spark/conf" "$SPARKCIDER_ROOT/etc/profile.d"
    echo "export PYSPARK_PYTHON=/no/profile" >"$SPARKCIDER_ROOT/etc/profile.d/spark.sh"
    run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 3 "/no/profile does not run"
    PYSPARK_PYTHON=/no/environment run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 3 "/no/environment does not run"
    printf 'spark.master yarn\nspark.pyspark.python   /no/defaults\n' >"$SPARKCIDER_ROOT/etc/spark/conf/spark-defaults.conf"
    PYSPARK_PYTHON=/no/environment run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 3 "/no/defaults does not run"
    echo "spark.pyspark.python=$NODE/conda/bin/python" >"$SPARKCIDER_ROOT/etc/spark/conf/spark-defaults.conf"
    rm -r "$NODE"/conda/lib/python*/site-packages/pip "$NODE"/conda/lib/python*/site-packages/pip-*
    run "$BOOTSTRAP/dataproc/init.sh"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"at $NODE/conda/bin/python, named by spark-defaults.conf"* ]]
}

@test "init.sh installs what the image lacks, or says so" {
    rm -r "$NODE"/conda/lib/python*/site-packages/tqdm "$NODE"/conda/lib/python*/site-packages/tqdm-*
    PIP_NO_INDEX=1 run "$BOOTSTRAP/dataproc/init.sh"
    fails_with 5 "cannot install tqdm: "
}

@test "init.sh finds that a package of the image is missing" {
    rm -r "$NODE"/conda/lib/python*/site-packages/pyarrow*
    run "$BOOTSTRAP/dataproc/init.sh"
    echo "$output"
    [ "$status" -eq 7 ]
}

@test "create-cluster.sh and submit.sh make the calls" {
    "$BOOTSTRAP/dataproc/create-cluster.sh" --to gs://bucket/code --region europe-west9 --wheel gs://bucket/x.whl \
        --models "gs://bucket/a.onnx gs://bucket/b.onnx" --service-account node@project --dry-run >"$NODE/printed"
    grep -F -e ' --service-account node@project --initialization-actions ' "$NODE/printed"
    grep -F 'sparkcider-wheel=gs://bucket/x.whl#sparkcider-models=gs://bucket/a.onnx\ gs://bucket/b.onnx' "$NODE/printed"
    [ ! -e "$NODE/calls" ]
    "$BOOTSTRAP/dataproc/submit.sh" --region europe-west9 --cluster c -- run --input "gs://bucket/a b"
    grep -E 'dataproc jobs submit pyspark .*/job.py --region europe-west9 --cluster c -- run --input gs://bucket/a b' "$NODE/calls"
    run "$BOOTSTRAP/dataproc/submit.sh" --region europe-west9 --batch gs://bucket/code --dry-run -- run
    [ "$status" -eq 2 ]
    run "$BOOTSTRAP/dataproc/submit.sh" --region r --batch gs://bucket/code --wheel "$WHEEL" --dry-run -- run
    [[ ${lines[0]} == *"$WHEEL gs://bucket/code/sparkcider.zip "* ]]
    [[ ${lines[1]} == *"--archives gs://bucket/code/sparkcider.zip "* ]]
}

@test "a batch needs nothing but the wheel as an archive, on the driver and on executors" {
    local pyspark
    pyspark=$("$PYTHON" -c 'import pyspark; print(pyspark.__path__[0])') || skip "needs pyspark"
    # the platform's PySpark, on its path
    mkdir "$NODE/spark"
    ln -s "$pyspark" "${pyspark%/*}/py4j" "$NODE/spark/"
    export PYTHONPATH=$NODE/spark SPARK_HOME=$pyspark PYSPARK_PYTHON=$NODE/conda/bin/python SPARK_LOCAL_IP=127.0.0.1
    run "$PYSPARK_PYTHON" -c "import sparkcider"
    [ "$status" -ne 0 ]
    "$VENV/bin/python" -c 'import sys; from pathlib import Path; from sparkcider.samples import write_samples; write_samples(Path(sys.argv[1]))' \
        "$NODE/images"
    local archive=$NODE/sparkcider.zip
    cp "$WHEEL" "$archive"
    "$BOOTSTRAP/dataproc/submit.sh" --region r --batch gs://bucket/code --wheel "$WHEEL" -- run
    grep -qF -- "--properties ^#^spark.executorEnv.PYTHONPATH=./sparkcider.zip#" "$NODE/calls"
    run "$SPARK_HOME/bin/spark-submit" --master 'local-cluster[1,1,1024]' --conf spark.executor.memory=1g \
        --archives "$archive" --conf spark.executorEnv.PYTHONPATH=./sparkcider.zip "$BOOTSTRAP/dataproc/job.py" \
        run --input "file:$NODE/images" --output "file:$NODE/result" --model fruits-tiny
    echo "$output"
    [ "$status" -eq 0 ]
    [ -e "$NODE/result/summary.json" ]
}
