# A Debian (or Ubuntu) of its own for the scripts, with nothing but Python, sudo and `aws`: made once for each DEBIAN and
# kept in SPARKCIDER_CLEAN_ROOTS, copied for each run. Like an EMR node it has a user `hadoop` who may use sudo.

setup_suite() {
    local kept=${SPARKCIDER_CLEAN_ROOTS:-/var/tmp/sparkcider-clean-roots}/$DEBIAN
    [ -e "$kept/ready" ] || make_root "$kept" || return
    export ROOT=$BATS_SUITE_TMPDIR/root BUCKET=s3://bucket
    cp -a "$kept" "$ROOT"
    cp /etc/resolv.conf /etc/hosts "$ROOT/etc/"
    cp /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/" # with what this machine's network needs
    cp -r "$BATS_TEST_DIRNAME/../../../bootstrap" "$WHEEL" "$ROOT/home/hadoop/"
    chmod 755 "$ROOT/home/hadoop" # the tests begin there, as any user
    aws s3 mb "$BUCKET"
    aws s3 cp --quiet "$BATS_TEST_DIRNAME/../../../bootstrap/emr/bootstrap.sh" "$BUCKET/bootstrap.sh"
    aws s3 cp --quiet "$WHEEL" "$BUCKET/$(basename "$WHEEL")"
    aws s3 cp --quiet "$MODEL" "$BUCKET/net.onnx"
    WHEEL_NAME=$(basename "$WHEEL")
    export WHEEL_NAME
}

make_root() { # folder
    local components=main
    [ "$DEBIAN" != noble ] || components=main,universe # where Ubuntu has python3-venv and Java
    rm -rf "$1"
    mkdir -p "$1"
    debootstrap --variant=minbase --components=$components --include=python3,python3-venv,sudo,ca-certificates \
        "$DEBIAN" "$1" || return
    cp /etc/resolv.conf "$1/etc/"
    cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
    chroot "$1" useradd --create-home --shell /bin/bash hadoop
    echo 'hadoop ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/hadoop"
    chroot "$1" python3 -m venv /usr/local/aws-cli
    chroot "$1" /usr/local/aws-cli/bin/pip install --quiet --no-cache-dir awscli || return
    ln -s ../aws-cli/bin/aws "$1/usr/local/bin/aws"
    touch "$1/ready"
}
