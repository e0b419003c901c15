# A Python that stands for a platform's own: the packages of the suite's node, but not sparkcider.

platform_python() { # folder
    local packages
    "$PYTHON" -m venv --without-pip "$1"
    packages=$(echo "$1"/lib/python*/site-packages)
    cp -rl "$VENV"/lib/python*/site-packages/. "$packages"
    rm -rf "$packages"/sparkcider*
}
