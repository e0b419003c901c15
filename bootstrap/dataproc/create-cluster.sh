#!/usr/bin/env bash
# Puts init.sh and the wheel into Cloud Storage and creates a Dataproc cluster with them.
#
#   create-cluster.sh --to GSURI --region REGION --wheel FILE|GSURI|VERSION [--models "GSURI GSURI"] [--name NAME]
#       [--image VERSION] [--machine-type TYPE] [--workers N] [--spot N] [--idle-minutes N]
#       [--service-account EMAIL] [--dry-run]
#
#   --to        a folder in Cloud Storage (gs://bucket/folder) for init.sh and the wheel
#   --spot      so many further workers at spot prices
#   --service-account   whose rights the nodes have (default: the project's own for machines, which may do far more)
#   --dry-run   only print the commands
# Exits with 2 for a wrong argument, else with the code of `gcloud`, which has said why.
set -euo pipefail

here=$(dirname "$0")
to="" region="" wheel="" models=""
name=sparkcider image=2.2-debian12 type=n2-standard-4 workers=2 spot=0 idle=60 account=() run=()

main() {
    read_arguments "$@"
    upload "$here/init.sh"
    if [[ $wheel == *.whl && $wheel != gs://* ]]; then
        upload "$wheel"
        wheel=$to/$(basename "$wheel")
    fi
    # ^#^: the values are divided by #, so that they may hold commas
    "${run[@]+"${run[@]}"}" gcloud dataproc clusters create "$name" --region "$region" --image-version "$image" \
        --master-machine-type "$type" --worker-machine-type "$type" --num-workers "$workers" \
        --num-secondary-workers "$spot" --secondary-worker-type spot --max-idle "${idle}m" \
        --enable-component-gateway --optional-components JUPYTER \
        "${account[@]+"${account[@]}"}" \
        --initialization-actions "$to/init.sh" --initialization-action-timeout 10m \
        --metadata "^#^sparkcider-wheel=$wheel#sparkcider-models=$models" \
        --properties "^#^$(properties)"
}

# As emr/configurations.json has them, for machines of 4 cores and 16 GB; bootstrap/README.md says why.
properties() {
    printf 'spark:spark.executor.cores=4#spark:spark.executor.memory=6g#spark:spark.executor.memoryOverhead=2g'
    printf '#spark:spark.task.cpus=1#spark:spark.sql.execution.arrow.maxRecordsPerBatch=64'
    printf '#spark:spark.sql.execution.arrow.pyspark.enabled=true'
}

read_arguments() {
    while (($#)); do
        [[ $1 != --dry-run ]] || { run=(printed) && shift && continue; }
        [[ $# -ge 2 && -n $2 ]] || wrong "$1 needs a value, or is not an option"
        case $1 in
        --to) to=${2%/} ;;
        --region) region=$2 ;;
        --wheel) wheel=$2 ;;
        --models) models=$2 ;;
        --name) name=$2 ;;
        --image) image=$2 ;;
        --machine-type) type=$2 ;;
        --workers) workers=$2 ;;
        --spot) spot=$2 ;;
        --idle-minutes) idle=$2 ;;
        --service-account) account=(--service-account "$2") ;;
        *) wrong "no option is called $1" ;;
        esac
        shift 2
    done
    [[ $to == gs://?* && -n $region && -n $wheel ]] || wrong "--to gs://bucket/folder, --region and --wheel are needed"
}

upload() { # file
    "${run[@]+"${run[@]}"}" gcloud storage cp "$1" "$to/$(basename "$1")"
}

printed() {
    printf '%q ' "$@"
    printf '\n'
}

wrong() {
    printf 'create-cluster.sh: %s\n' "$1" >&2
    exit 2
}

main "$@"
