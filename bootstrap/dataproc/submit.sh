#!/usr/bin/env bash
# Submits `sparkcider WORDS` as a PySpark job to a Dataproc cluster, or as a serverless batch without any cluster.
#
#   submit.sh --region REGION --cluster NAME [--dry-run] -- WORDS
#   submit.sh --region REGION --batch GSURI --wheel FILE [--runtime VERSION] [--dry-run] -- WORDS
#
#   --batch   a folder in Cloud Storage (gs://bucket/folder) that the wheel is put into, for the batch to unpack
# For example: ... -- run --input gs://bucket/images --output gs://bucket/result --model gs://bucket/mobilenet_v2.onnx
# Exits with 2 for a wrong argument, else with the code of `gcloud`, which has said why.
set -euo pipefail

here=$(dirname "$0")
region="" cluster="" batch="" wheel="" runtime=2.2 run=()

main() {
    read_arguments "$@"
    if [[ -n $cluster ]]; then
        "${run[@]+"${run[@]}"}" gcloud dataproc jobs submit pyspark "$here/job.py" --region "$region" \
            --cluster "$cluster" -- "${words[@]}"
        return
    fi
    local bucket=${batch#gs://}
    # A wheel is a zip file: unpacked, its folder is what Python imports from.
    "${run[@]+"${run[@]}"}" gcloud storage cp "$wheel" "$batch/sparkcider.zip"
    "${run[@]+"${run[@]}"}" gcloud dataproc batches submit pyspark "$here/job.py" --region "$region" \
        --version "$runtime" --deps-bucket "gs://${bucket%%/*}" --archives "$batch/sparkcider.zip" \
        --properties "^#^$(properties)" -- "${words[@]}"
}

properties() {
    printf 'spark.executorEnv.PYTHONPATH=./sparkcider.zip#spark.sql.execution.arrow.maxRecordsPerBatch=64'
    printf '#spark.executor.cores=4#spark.executor.memory=6g#spark.executor.memoryOverhead=2g'
}

read_arguments() {
    while (($#)); do
        case $1 in
        --dry-run) run=(printed) && shift && continue ;;
        --) shift && break ;;
        esac
        [[ $# -ge 2 && -n $2 ]] || wrong "$1 needs a value, or is not an option"
        case $1 in
        --region) region=$2 ;;
        --cluster) cluster=$2 ;;
        --batch) batch=${2%/} ;;
        --wheel) wheel=$2 ;;
        --runtime) runtime=$2 ;;
        *) wrong "no option is called $1" ;;
        esac
        shift 2
    done
    [[ -n $region ]] || wrong "--region is needed"
    [[ -n $cluster || ($batch == gs://?* && $wheel == *.whl) ]] ||
        wrong "--cluster NAME is needed, or --batch gs://bucket/folder with --wheel FILE"
    (($#)) || wrong "nothing to run: put -- run --input GSURI ... at the end"
    words=("$@")
}

printed() {
    printf '%q ' "$@"
    printf '\n'
}

wrong() {
    printf 'submit.sh: %s\n' "$1" >&2
    exit 2
}

main "$@"
