# bootstrap/databricks/init.sh with a Python that stands for the runtime's.

load platform

setup() {
    export SPARKCIDER_PYTHON=$BATS_TEST_TMPDIR/runtime/bin/python
    platform_python "$BATS_TEST_TMPDIR/runtime"
}

@test "init.sh installs a wheel of a volume and proves itself, and again" {
    for time in first second; do
        SPARKCIDER_WHEEL=$WHEEL run "$BOOTSTRAP/databricks/init.sh"
        echo "$time: $output"
        [ "$status" -eq 0 ]
        grep -E '^ok +inference ' <<<"$output"
    done
}

@test "upload.sh writes the wheel's path into init.sh, which then needs no variable" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\necho "$@" >>"%s/calls"\ncp "$4" "%s/"\n' "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/databricks"
    chmod +x "$BATS_TEST_TMPDIR/bin/databricks"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run "$BOOTSTRAP/databricks/upload.sh" --to /Volumes/main/default/libs/ --wheel "$WHEEL"
    echo "$output"
    [ "$status" -eq 0 ]
    grep -F "fs cp --overwrite $WHEEL dbfs:/Volumes/main/default/libs/$(basename "$WHEEL")" "$BATS_TEST_TMPDIR/calls"
    grep -F "dbfs:/Volumes/main/default/libs/init.sh" "$BATS_TEST_TMPDIR/calls"
    grep -Fx "WHEEL=/Volumes/main/default/libs/$(basename "$WHEEL")" "$BATS_TEST_TMPDIR/init.sh"
    # the volume of this machine
    sed -i "s|^WHEEL=.*|WHEEL=$WHEEL|" "$BATS_TEST_TMPDIR/init.sh"
    run bash "$BATS_TEST_TMPDIR/init.sh"
    [ "$status" -eq 0 ]
    run "$BOOTSTRAP/databricks/upload.sh" --to /tmp/libs --wheel "$WHEEL"
    [ "$status" -eq 2 ]
    [[ ${lines[0]} == *"--to must be a volume"* ]]
    run "$BOOTSTRAP/databricks/upload.sh" --to /Volumes/a/b/c --wheel "$WHEEL" --dry-run
    [ "$status" -eq 0 ]
    [[ ${lines[0]} == "databricks fs cp --overwrite "* ]]
}

@test "init.sh says what is wrong" {
    run "$BOOTSTRAP/databricks/init.sh"
    [ "$status" -eq 2 ]
    SPARKCIDER_WHEEL=/Volumes/none.whl run "$BOOTSTRAP/databricks/init.sh"
    [ "$status" -eq 5 ]
    [[ ${lines[-1]} == "sparkcider init failed: cannot read /Volumes/none.whl" ]]
    SPARKCIDER_PYTHON=/no/python run "$BOOTSTRAP/databricks/init.sh"
    [ "$status" -eq 3 ]
}
