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

@test "init.sh says what is wrong" {
    run "$BOOTSTRAP/databricks/init.sh"
    [ "$status" -eq 2 ]
    SPARKCIDER_WHEEL=/Volumes/none.whl run "$BOOTSTRAP/databricks/init.sh"
    [ "$status" -eq 5 ]
    [[ ${lines[-1]} == "sparkcider init failed: cannot read /Volumes/none.whl" ]]
    SPARKCIDER_PYTHON=/no/python run "$BOOTSTRAP/databricks/init.sh"
    [ "$status" -eq 3 ]
}
