"""One writer at a time for an output, on local disks, shared disks, HDFS and object stores alike.

Each run that wants to write `OUT` has a claim: a small file in the folder `.OUT.lock` beside it, of one of these names.

    asks-TOKEN-N     a run that wants to write
    holds-TOKEN-N    the run that writes

TOKEN is random, so nobody takes one claim for another. N counts signs of life: each one renames the claim.

**Entering.** A run writes its claim first, and looks for others afterwards. It goes on when there are none. Of two
runs that ask at once, the one that looks last sees the claim of the other, so both never go on. The larger token gives
way.

**Who is dead.** A process of this machine is looked up, and lives for as long as it exists, stopped or not. A process
of another container on this machine has locked its claim (`flock`), and the kernel drops that lock when the process
ends. Any other is dead when its claim has kept its name for a minute of the watcher's own clock; no two clocks are
compared.

**Taking over** is the removal of a dead writer's claim by its full name. Should that writer live after all, its next
sign of life fails, because there is nothing to rename. It looks for its claim before it closes a part, renames or
publishes (`Lock.check`), and stops when there is none.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from contextlib import contextmanager, suppress
from threading import Event, Thread
from threading import Lock as Mutex
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkcider.job.processes import lives, same_machine, this_process
from sparkcider.storage.uri import literal_path, scheme_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkcider.storage.files import Files

HEARTBEAT_SECONDS = 10.0
"""Between two signs of life."""

STALE_SECONDS = 60.0
"""Without a sign of life after which a writer that cannot be looked up counts as dead."""

LOOK_SECONDS = 0.5
"""Between two looks at the claims of others."""

_ASKS, _HOLDS = "asks", "holds"

_TRIES = 100
"""To write a claim: the run before may be removing the empty folder."""


class LockLostError(RuntimeError):
    """Another run has taken over, so this one may not write any more."""


class _Claim(NamedTuple):
    """The name of a claim, in its parts."""

    state: str
    token: str
    beats: int

    @property
    def name(self) -> str:
        """Sorts after the name before: who lists a folder in order, while a claim is renamed, sees one of both."""
        return f"{self.state}-{self.token}-{self.beats:09}"


@contextmanager
def locked(files: Files, output: str, *, take_over: bool, say: Callable[[str], None] | None = None) -> Iterator[Lock]:
    """Makes this run the only writer of an output while the block runs.

    Args:
        files: How the output is reached.
        output: Its full URI.
        take_over: Wait up to a minute to see whether a writer lives that cannot be looked up from here.
        say: Takes a line of text before such a wait.

    Raises:
        FileExistsError: Another run writes, or may do so.
    """
    parent, _, name = output.rpartition("/")
    lock = Lock(files, f"{parent}/.{name}.lock")
    try:
        lock.enter(output, take_over=take_over, say=say)
        yield lock
    finally:
        lock.leave()


class Lock:
    """The claim of this run.

    Args:
        files: How it is reached.
        folder: The full URI of the folder of claims.

    Attributes:
        token: Names this run, and no other.
    """

    def __init__(self, files: Files, folder: str) -> None:
        self.token = uuid.uuid4().hex[:12]
        self._files, self._folder = files, folder
        self._state = _ASKS
        self._renaming = Mutex()
        self._stop = Event()
        self._beating: Thread | None = None
        self._descriptor: int | None = None

    def check(self) -> None:
        """Makes sure that this run may still write.

        Raises:
            LockLostError: Another run has taken over.
        """
        with self._renaming:
            self._own_claims()

    def enter(self, output: str, *, take_over: bool, say: Callable[[str], None] | None) -> None:
        """Returns when this run is the only writer; the arguments and errors are those of `locked`."""
        for attempt in range(_TRIES):
            try:
                self._ask()
                break
            except FileNotFoundError:
                if attempt == _TRIES - 1:
                    raise
        self._beating = Thread(target=self._beat, name="sparkcider lock", daemon=True)
        self._beating.start()
        others = _Others(self._files, self._folder, self.token)
        while found := others.claims():
            removed = [others.removed(claim, output, take_over=take_over, say=say) for claim in found]
            if not any(removed):
                time.sleep(LOOK_SECONDS)
        self._state = _HOLDS
        self._sign_of_life()

    def leave(self) -> None:
        """Ends the claim."""
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
        with suppress(OSError):  # a claim that stays is that of a dead process
            for claim in _claims(self._files, self._folder):
                if claim.token == self.token:
                    self._files.remove(f"{self._folder}/{claim.name}")
            self._files.remove_empty(self._folder)
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _ask(self) -> None:
        """Writes the claim; it has its name when it is whole and locked."""
        self._files.make_folder(self._folder)
        new = f"{self._folder}/.{self.token}"
        self._descriptor = _locked_file(new)
        content = {**this_process(), "flock": self._descriptor is not None}
        self._files.write(new, json.dumps(content).encode())
        self._files.rename(new, f"{self._folder}/{_Claim(_ASKS, self.token, 0).name}")

    def _own_claims(self) -> list[_Claim]:
        """This run's claim; two where a store has copied it and then failed to remove the first.

        In a store a copy may still arrive when the claim was removed already. Then two runs hold the lock, and both see
        that here.
        """
        claims = _claims(self._files, self._folder)
        own = [claim for claim in claims if claim.token == self.token]
        others_hold = any(claim.state == _HOLDS for claim in claims if claim.token != self.token)
        if not own or (self._state == _HOLDS and others_hold):
            raise LockLostError(
                f"another run has taken over {self._folder}, because this one gave no sign of life: it stops here, and "
                "the other goes on with what was finished"
            )
        return sorted(own, key=lambda claim: claim.beats)

    def _sign_of_life(self) -> None:
        with self._renaming:
            *older, last = self._own_claims()
            following = _Claim(self._state, self.token, last.beats + 1)
            self._files.rename(f"{self._folder}/{last.name}", f"{self._folder}/{following.name}")
            for claim in older:
                self._files.remove(f"{self._folder}/{claim.name}")

    def _beat(self) -> None:
        with suppress(LockLostError):  # `check` says so to who writes
            while not self._stop.wait(HEARTBEAT_SECONDS):
                with suppress(OSError):  # a store that fails now may answer the next time
                    self._sign_of_life()


class _Others:
    """The claims of other runs, as one run that asks sees them."""

    def __init__(self, files: Files, folder: str, token: str) -> None:
        self._files, self._folder, self._token = files, folder, token
        self._seen: dict[str, tuple[_Claim, float]] = {}
        self._said = False

    def claims(self) -> list[_Claim]:
        """The newest claim of each other run; a run that was killed in a store may have left two."""
        claims = sorted(_claims(self._files, self._folder), key=lambda claim: claim.beats)
        return list({claim.token: claim for claim in claims if claim.token != self._token}.values())

    def removed(self, claim: _Claim, output: str, *, take_over: bool, say: Callable[[str], None] | None) -> bool:
        """Removes a claim whose writer is dead. FileExistsError if this run has to give way to it."""
        try:
            content = self._files.read(f"{self._folder}/{claim.name}")
        except OSError:
            if claim not in _claims(self._files, self._folder):  # it ended, or gave a sign of life: look again
                return False
            content = b""
        alive, who = self._judged(claim, _parsed(content)), _named(_parsed(content))
        if alive is False:
            self._remove(claim)
            return True
        if claim.state == _ASKS and claim.token > self._token:
            return False  # it gives way
        if alive:
            raise FileExistsError(f"{output} is being written by {who}; wait until it ends, or take another output")
        if not take_over:
            raise FileExistsError(
                f"{output} is, or was, being written by {who}, which cannot be looked up from here; --resume and "
                f"--mode overwrite wait {STALE_SECONDS:.0f} s to see whether it lives"
            )
        if say is not None and not self._said:
            say(f"{'lock':<9} waiting {STALE_SECONDS:.0f} s to see whether {who} still writes {output}")
        self._said = True
        return False

    def _remove(self, dead: _Claim) -> None:
        for claim in _claims(self._files, self._folder):
            if claim.token == dead.token and claim.beats <= dead.beats:
                try:
                    self._files.remove(f"{self._folder}/{claim.name}")
                except OSError:
                    if claim in _claims(self._files, self._folder):
                        raise
                    # it ended, or it lives and its claim has another name by now: look again

    def _judged(self, claim: _Claim, writer: dict[str, Any]) -> bool | None:
        """Whether a writer lives; None while that is not known."""
        alive = lives(writer) if writer else None
        if alive is None and writer.get("flock"):
            alive = _flocked(f"{self._folder}/{claim.name}", writer)
        if alive is not None:
            return alive
        now = time.monotonic()
        first, since = self._seen.setdefault(claim.token, (claim, now))
        if first.beats != claim.beats:
            return True
        return False if now - since >= STALE_SECONDS else None


def _claims(files: Files, folder: str) -> list[_Claim]:
    """The claims in a folder; other files in it are of runs that were killed before they had asked."""
    parts = [name.split("-") for name in files.walk(folder)]
    return [_Claim(part[0], part[1], int(part[2])) for part in parts if part[0] in (_ASKS, _HOLDS)]


def _parsed(content: bytes) -> dict[str, Any]:
    """What a claim says; nothing if it cannot be read."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "process" in found else {}


def _named(writer: dict[str, Any]) -> str:
    return f"process {writer['process']} on {writer['host']}" if writer else "a process that does not say its name"


def _locked_file(uri: str) -> int | None:
    """Makes a file and locks it for as long as this process lives; None where the file system has no locks."""
    if scheme_of(uri) != "file":
        return None
    descriptor = os.open(literal_path(uri), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _flocked(uri: str, writer: dict[str, Any]) -> bool | None:
    """Whether a writer that has locked its claim lives; None where its lock may not have reached this machine."""
    try:
        descriptor = os.open(literal_path(uri), os.O_RDONLY)
    except OSError:  # another user's, or it has another name by now
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # Between machines, a shared disk may be mounted without locks.
    return False if same_machine(writer) else None
