"""`make demo` as a stranger runs it: a fresh clone in a Debian with git, make and ca-certificates, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = Path(os.environ.get("SPARKCIDER_CLEAN_ROOTS", "/var/tmp/sparkcider-clean-roots"))  # noqa: S108 - as bats has it
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"

pytestmark = [
    pytest.mark.skipif("SPARKCIDER_TEST_CLEAN_ROOTS" not in os.environ, reason="opt-in: make test-bootstrap"),
    pytest.mark.timeout(3600),  # it makes a whole Debian and compiles everything
]


@pytest.fixture(params=["bookworm", "trixie"])
def bare_root(request, tmp_path: Path) -> Path:
    """A Debian of its own, made once and copied for each test, with a fresh clone in /srv/sparkcider."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap")
    kept = KEPT / f"bare-{request.param}"
    if not (kept / "ready").exists():
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        run("debootstrap", "--variant=minbase", "--include=git,make,ca-certificates", request.param, kept)
        lines = [
            f"deb http://deb.debian.org/debian {suite} main" for suite in (request.param, f"{request.param}-updates")
        ]
        lines.append(f"deb http://deb.debian.org/debian-security {request.param}-security main")
        (kept / "etc/apt/sources.list").write_text("\n".join([*lines, ""]), encoding="utf-8")
        (kept / "ready").touch()
    root = tmp_path / "root"
    run("cp", "-a", kept, root)
    for file in ("etc/resolv.conf", "etc/hosts", CERTIFICATES):  # with what this machine's network needs
        shutil.copy(f"/{file}", root / file)
    run("git", "clone", "--quiet", "--depth=1", f"file://{REPOSITORY}", root / "srv/sparkcider")
    return root


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


def make(root: Path, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make` in the clone, by root, with the environment of a fresh login."""
    mounts = f"mount -t proc proc {root}/proc && mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm"  # noqa: S108
    environment = {
        "HOME": "/root",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        **environment,
    }
    if "PIP_CERT" in os.environ:
        environment["PIP_CERT"] = f"/{CERTIFICATES}"
    settings = [f"{name}={value}" for name, value in environment.items()]
    command = ["chroot", root, "env", "-i", "-C", "/srv/sparkcider", *settings, "make", target]
    return subprocess.run(
        ["unshare", "--mount", "--fork", "sh", "-c", f'{mounts} && exec "$@"', "sh", *map(str, command)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_first_command_works_on_a_bare_machine(bare_root: Path) -> None:
    refused = make(bare_root, "demo", SPARKCIDER_INSTALL="no")
    assert refused.returncode != 0
    missing = [line for line in refused.stderr.splitlines() if line.startswith("missing: ")]
    assert len(missing) == 4, refused.stderr  # Python, compiler, NASM, Rust
    assert "installing" not in refused.stderr

    begin = time.monotonic()
    done = make(bare_root, "demo")
    print(done.stdout, done.stderr, f"make demo: {time.monotonic() - begin:.0f} s", sep="\n")
    assert done.returncode == 0
    assert (bare_root / "srv/sparkcider/sparkcider-demo/result/report.html").is_file()
    for program in ("java", "chromium", "cmake"):
        assert shutil.which(program, path=str(bare_root / "usr/bin")) is None
    assert "installing" not in make(bare_root, "demo").stderr
