#!/usr/bin/env bash
# Puts bootstrap.sh and the wheel into S3 and creates an EMR cluster with them: one master, two core nodes.
#
#   create-cluster.sh --to S3URI --region REGION --subnet ID [--wheel FILE|S3URI|VERSION] [--model S3URI]...
#       [--name NAME] [--release LABEL] [--instance-type TYPE] [--core-nodes N] [--spot] [--idle-minutes N]
#       [--python PATH] [--service-role NAME] [--instance-profile NAME] [--dry-run]
#
#   --to        a folder in S3 (s3://bucket/folder) for bootstrap.sh, the wheel and the logs; notebooks of JupyterHub are
#               kept in its bucket
#   --release   such as emr-7.13.0 (default) or emr-spark-8.0.0
#   --python    the nodes' Python to use, such as /usr/bin/python3.11 (default: python3)
#   --spot      core nodes at spot prices: cheap, and Spark repeats what a lost node did
#   --dry-run   only print the commands
# Exits with 2 for a wrong argument, else with the code of `aws`, which has said why.
set -euo pipefail

here=$(dirname "$0")
to="" region="" subnet="" wheel="" arguments=""
name=sparkcider release=emr-7.13.0 type=m5.xlarge nodes=2 idle=60 bid="" run=()
service_role=EMR_DefaultRole profile=EMR_EC2_DefaultRole

main() {
    read_arguments "$@"
    local bucket=${to#s3://}
    upload "$here/bootstrap.sh"
    if [[ $wheel == *.whl && $wheel != s3://* ]]; then
        upload "$wheel"
        wheel=$to/$(basename "$wheel")
    fi
    [[ -z $wheel ]] || argument --wheel "$wheel"
    create "${bucket%%/*}"
}

read_arguments() {
    while (($#)); do
        case $1 in
        --dry-run) run=(printed) && shift && continue ;;
        --spot) bid=,BidPrice=OnDemandPrice && shift && continue ;;
        esac
        [[ $# -ge 2 && -n $2 ]] || wrong "$1 needs a value, or is not an option"
        case $1 in
        --to) to=${2%/} ;;
        --region) region=$2 ;;
        --subnet) subnet=$2 ;;
        --wheel) wheel=$2 ;;
        --model | --python) argument "$1" "$2" ;;
        --name) name=$2 ;;
        --release) release=$2 ;;
        --instance-type) type=$2 ;;
        --core-nodes) nodes=$2 ;;
        --idle-minutes) idle=$2 ;;
        --service-role) service_role=$2 ;;
        --instance-profile) profile=$2 ;;
        *) wrong "no option is called $1" ;;
        esac
        shift 2
    done
    [[ $to == s3://?* && -n $region && -n $subnet ]] || wrong "--to s3://bucket/folder, --region and --subnet are needed"
}

upload() { # file
    "${run[@]+"${run[@]}"}" aws s3 cp --region "$region" "$1" "$to/$(basename "$1")"
}

create() { # bucket
    local configurations
    configurations=$(sed "s/YOUR-BUCKET/$1/" "$here/configurations.json")
    "${run[@]+"${run[@]}"}" aws emr create-cluster --region "$region" --name "$name" --release-label "$release" \
        --applications Name=Hadoop Name=Spark Name=Livy Name=JupyterEnterpriseGateway Name=JupyterHub \
        --instance-groups "InstanceGroupType=MASTER,InstanceCount=1,InstanceType=$type" \
        "InstanceGroupType=CORE,InstanceCount=$nodes,InstanceType=$type$bid" \
        --ec2-attributes "InstanceProfile=$profile,SubnetId=$subnet" --service-role "$service_role" \
        --bootstrap-actions "[{\"Name\": \"sparkcider\", \"Path\": \"$to/bootstrap.sh\", \"Args\": [$arguments]}]" \
        --configurations "$configurations" \
        --log-uri "$to/logs/" --auto-termination-policy "IdleTimeout=$((idle * 60))"
}

# One option of the bootstrap action, as JSON: the short form of `aws` would split it at commas.
argument() { # option, value
    arguments+="${arguments:+, }\"$1\", \"$2\""
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
