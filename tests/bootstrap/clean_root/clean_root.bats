# bootstrap/emr as EMR runs it: fetched from S3, by the user hadoop, on a machine that has nothing yet; the init scripts
# of Dataproc and Databricks, by root; the wheel's tests.

node() { # [--user NAME] [--net] [--small FOLDER SIZE MODE] command...: runs it on the node
    local user=hadoop isolate=(--mount) mounts="mount -t proc proc '$ROOT/proc'"
    mounts+=" && mount -t tmpfs -o mode=1777 tmpfs '$ROOT/dev/shm'" # Python's semaphores need it
    while true; do
        case $1 in
        --user) user=$2 && shift 2 ;;
        --net) isolate+=(--net) && shift ;;
        --small) mounts+=" && mount -t tmpfs -o size=$3,mode=$4 tmpfs '$ROOT$2'" && shift 4 ;;
        *) break ;;
        esac
    done
    unshare "${isolate[@]}" --fork sh -c "$mounts"' && exec "$@"' sh \
        chroot --userspec="$user" "$ROOT" env -i -C /home/hadoop HOME=/home/hadoop PATH=/usr/local/bin:/usr/bin:/bin \
        AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_EC2_METADATA_DISABLED=true \
        AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL="$AWS_ENDPOINT_URL" ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
        ${PIP_CERT:+PIP_CERT=/etc/ssl/certs/ca-certificates.crt} "$@"
}

action() { # options of node, then arguments of bootstrap.sh after --
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1") && shift
    done
    shift
    run node "${options[@]}" bash bootstrap/emr/bootstrap.sh "$@"
    echo "$output"
}

fails_with() { # exit code, part of the one line that says why
    [ "$status" -eq "$1" ]
    [ "$(grep -c '^sparkcider bootstrap failed: ' <<<"$output")" -eq 1 ]
    [[ ${lines[-1]} == "sparkcider bootstrap failed: "*"$2"* ]]
}

@test "first run as EMR does it: fetched from S3, wheel and model from S3, nothing of the system changes" {
    touch "$ROOT/before"
    run node bash -c 'aws s3 cp --quiet s3://bucket/bootstrap.sh /tmp/action.sh && bash /tmp/action.sh "$@"' bash \
        --wheel "$BUCKET/$WHEEL_NAME" --model "$BUCKET/net.onnx"
    echo "$output" 
    [ "$status" -eq 0 ]
    grep -E '^ok +inference ' <<<"$output"
    [[ ${lines[-1]} == *"ready after "*" s: /opt/sparkcider/bin/python" ]]
    run find "$ROOT/usr" "$ROOT/etc" "$ROOT/var/lib" "$ROOT/home" -newer "$ROOT/before" -type f ! -path '*/var/lib/sudo/*'
    echo "changed: $output"
    [ -z "$output" ]
}

@test "another user, as of a YARN container, runs it and finds the model" {
    node --user nobody /opt/sparkcider/bin/python -m sparkcider doctor
    node --user nobody /opt/sparkcider/bin/sparkcider model show local:/opt/sparkcider/models/net.onnx
}

@test "second run: nothing to install" {
    SECONDS=0
    action -- --wheel "$BUCKET/$WHEEL_NAME" --model "$BUCKET/net.onnx"
    echo "$SECONDS s" >&3
    [ "$status" -eq 0 ]
    [[ $output == *"packages: are there already"* ]]
    ((SECONDS < 20))
}

@test "a broken wheel" {
    head -c 1000000 "$WHEEL" >"$ROOT/home/hadoop/broken.whl"
    mkdir "$ROOT/home/hadoop/wheels"
    mv "$ROOT/home/hadoop/broken.whl" "$ROOT/home/hadoop/wheels/$WHEEL_NAME"
    action -- --wheel "wheels/$WHEEL_NAME" --venv /opt/other
    fails_with 5 "cannot install the packages: "
}

@test "a missing model" {
    action -- --wheel "$BUCKET/$WHEEL_NAME" --model "$BUCKET/none.onnx"
    fails_with 6 "cannot fetch s3://bucket/none.onnx: fatal error: An error occurred (404)"
}

@test "a full disk, at each step" {
    action --small /tmp 4m 1777 -- --wheel "$BUCKET/$WHEEL_NAME"
    fails_with 5 "No space left on device"
    action --small /opt 4m 755 -- --wheel "$WHEEL_NAME"
    fails_with 3 "(/opt/sparkcider has "
    action --small /opt 120m 755 -- --wheel "$WHEEL_NAME"
    fails_with 5 "No space left on device"
}

@test "no network" {
    action --net -- --wheel "$WHEEL_NAME" --venv /opt/other
    fails_with 5 "cannot install the packages: no package index can be reached"
    action --net -- --wheel "$BUCKET/$WHEEL_NAME" --venv /opt/other
    fails_with 5 "Could not connect to the endpoint URL"
}

@test "a folder of wheels needs no index; an installation that does not work is found" {
    local house=$ROOT/home/hadoop/house
    sed -n "/^# made by/,/^PINS/{/^PINS/d;p}" "$ROOT/home/hadoop/bootstrap/emr/bootstrap.sh" >"$ROOT/home/hadoop/pins.txt"
    node python3 -m venv downloads
    node downloads/bin/python -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
        --requirement pins.txt --dest house
    cp "$WHEEL" "$house/"
    action --net -- --wheel /home/hadoop/house/ --venv /opt/house
    [ "$status" -eq 0 ]

    damage "$WHEEL" "$house/$WHEEL_NAME"
    chmod -R a+rX "$house"
    aws s3 cp --quiet --recursive "$house" "$BUCKET/house/"
    action -- --wheel "$BUCKET/house/" --venv /opt/house
    fails_with 7 "the installation does not work: "
}

damage() { # wheel, target: the same with an empty ONNX Runtime library
    "$PYTHON" - "$1" "$2" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as whole, zipfile.ZipFile(sys.argv[2], "w") as damaged:
    for name in whole.namelist():
        damaged.writestr(name, b"" if "libonnxruntime" in name or name.endswith("RECORD") else whole.read(name))
PYTHON
}

@test "no sudo, and no right to make the folder" {
    action --user nobody -- --wheel "$WHEEL_NAME" --venv /opt/other2
    fails_with 4 "cannot make /opt/other2: "
}

@test "the serverless environment works where it is unpacked" {
    local python
    python=$(node python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    run node bootstrap/emr-serverless/pack.sh --python "$python" --wheel "$WHEEL_NAME" --to "$BUCKET/serverless"
    echo "$output"
    [ "$status" -eq 0 ]
    run node bash -euc 'mkdir -p job/environment && cd job && aws s3 cp --quiet --recursive s3://bucket/serverless . &&
        tar xzf sparkcider.tar.gz -C environment && ./environment/bin/python sparkcider_job.py doctor'
    echo "$output"
    [ "$status" -eq 0 ]
    grep -E '^ok +inference ' <<<"$output"
    [[ $output == *" at /home/hadoop/job/environment/"* ]]
}

@test "the init scripts of Dataproc and Databricks install beside the packages of an image's Python" {
    local python
    for python in /opt/pixi/.pixi/envs/default /databricks/python; do
        node --user root python3 -m venv "$python"
        node --user root "$python/bin/python" -m pip install --quiet --only-binary=:all: numpy pandas pyarrow
    done
    printf '#!/bin/sh\ncp "/home/hadoop/${3#gs://bucket/}" "$4"\n' >"$ROOT/usr/local/bin/gcloud"
    printf '#!/bin/sh\ntest "$1" = attributes/sparkcider-wheel && echo "gs://bucket/%s"\n' "$WHEEL_NAME" \
        >"$ROOT/usr/local/bin/get_metadata_value"
    chmod +x "$ROOT/usr/local/bin/gcloud" "$ROOT/usr/local/bin/get_metadata_value"
    run node --user root bootstrap/dataproc/init.sh
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *" at /opt/pixi/.pixi/envs/default/bin/python, named by the image"* ]]
    grep -E '^ok +inference ' <<<"$output"
    run node --user root env SPARKCIDER_WHEEL="/home/hadoop/$WHEEL_NAME" bootstrap/databricks/init.sh
    echo "$output"
    [ "$status" -eq 0 ]
    grep -E '^ok +inference ' <<<"$output"
}

@test "the installed wheel passes its tests with the Python and the newest Java of this Debian" {
    local java python repository=$BATS_TEST_DIRNAME/../../..
    as_root() { node --user root env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
    as_root apt-get update -qq
    java=$(as_root apt-cache pkgnames openjdk- | grep -E '^openjdk-(17|21)-jre-headless$' | sort | tail -n 1)
    as_root apt-get install -y -qq --no-install-recommends "$java" >"$BATS_TEST_TMPDIR/java.log" 2>&1 ||
        { cat "$BATS_TEST_TMPDIR/java.log" && false; }
    cp /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/" # the installation of Java has replaced it
    python=$(node python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    mkdir "$ROOT/home/hadoop/tree" "$ROOT/home/hadoop/tree/dist"
    cp -r "$repository"/{conftest.py,pyproject.toml,tests,scripts} "$ROOT/home/hadoop/tree/"
    cp "$WHEEL" "$ROOT/home/hadoop/tree/dist/"
    chroot "$ROOT" chown -R hadoop /home/hadoop/tree
    run node tree/scripts/test_wheel.sh "$python" tier
    echo "$output"
    echo "$java, Python $python: $(grep -E '^=+ .*passed' <<<"$output")" >&3
    [ "$status" -eq 0 ]
}
