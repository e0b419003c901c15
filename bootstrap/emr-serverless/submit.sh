#!/usr/bin/env bash
# Starts `sparkcider WORDS` on an EMR Serverless application, in the environment that pack.sh made.
#
#   submit.sh --archive S3URI --application ID --role ARN [--region REGION] [--conf KEY=VALUE]... [--dry-run] -- WORDS
#
# For example: ... -- run --input s3://bucket/images --output s3://bucket/result --model s3://bucket/mobilenet_v2.onnx
# Exits with 2 for a wrong argument, else with the code of `aws`, which has said why.
set -euo pipefail

archive="" application="" role=""
region=() run=() conf=()

main() {
    read_arguments "$@"
    "${run[@]+"${run[@]}"}" aws emr-serverless start-job-run "${region[@]+"${region[@]}"}" --name sparkcider \
        --application-id "$application" --execution-role-arn "$role" --job-driver "$(driver)"
}

read_arguments() {
    while (($#)); do
        case $1 in
        --dry-run) run=(printed) && shift && continue ;;
        --) shift && break ;;
        esac
        [[ $# -ge 2 && -n $2 ]] || wrong "$1 needs a value, or is not an option"
        case $1 in
        --archive) archive=$2 ;;
        --application) application=$2 ;;
        --role) role=$2 ;;
        --region) region=(--region "$2") ;;
        --conf) conf+=(--conf "$2") ;;
        *) wrong "no option is called $1" ;;
        esac
        shift 2
    done
    [[ $archive == s3://?* && -n $application && -n $role ]] ||
        wrong "--archive S3URI, --application ID and --role ARN are needed"
    (($#)) || wrong "nothing to run: put -- run --input S3URI ... at the end"
    words=("$@")
}

# Python, in all three places that decide it; one worker of 4 vCPU and 8 GB, with room for four Python processes.
driver() {
    local python=./environment/bin/python
    python3 - "${archive%/*}/sparkcider_job.py" "${#words[@]}" "${words[@]}" \
        --conf "spark.archives=$archive#environment" \
        --conf "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON=$python" \
        --conf "spark.emr-serverless.driverEnv.PYSPARK_PYTHON=$python" \
        --conf "spark.executorEnv.PYSPARK_PYTHON=$python" \
        --conf "spark.emr-serverless.driverEnv.SPARKCIDER_CACHE=/tmp/sparkcider" \
        --conf spark.executor.cores=4 --conf spark.executor.memory=6g --conf spark.executor.memoryOverhead=2g \
        --conf spark.sql.execution.arrow.maxRecordsPerBatch=64 "${conf[@]+"${conf[@]}"}" <<'PYTHON'
import json, sys

entry, count, *rest = sys.argv[1:]
words, parameters = rest[: int(count)], rest[int(count) :]
print(json.dumps({"sparkSubmit": {
    "entryPoint": entry, "entryPointArguments": words, "sparkSubmitParameters": " ".join(parameters)
}}))
PYTHON
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
