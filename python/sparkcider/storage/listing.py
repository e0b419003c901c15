"""Lists the files of a folder, file or glob without Spark, by the rules of its binaryFile reader that looks everywhere.

What differs on purpose: files of no bytes are listed, which Spark leaves out; a link to a folder that it is in is not
followed, which Spark does 40 times; names that are not UTF-8 are left out with a warning, by Spark without; a file or
folder that is there and cannot be looked at is an error, where Spark passes over it. Only what is gone is passed over:
a file deleted meanwhile, a link to nothing.
"""

from __future__ import annotations

import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa

from sparkcider.error_kinds import MISSING
from sparkcider.notice import warn
from sparkcider.storage.faults import ReadError, tried_again
from sparkcider.storage.glob import compile_glob, has_wildcard, is_glob, split_braces, unescaped
from sparkcider.storage.stores import info_of, listed, store_of
from sparkcider.storage.uri import known_scheme, literal_path, mounted, redacted_uri, scheme_of, store_parts

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator

T = TypeVar("T")

LISTING = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("modificationTime", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""What `list_files` gives. Times are cut to milliseconds, as Hadoop's are; S3 has whole seconds."""


class _Entry(NamedTuple):
    """A file or folder: its path without scheme and authority, and for a file its bytes and time in milliseconds."""

    path: str
    is_folder: bool
    length: int = 0
    time: int = 0

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def list_files(uri: str, *, glob: str | None = None) -> pa.Table:
    r"""The files under a folder at any depth, the file of a name, or those of all that a glob finds; sorted by path.

    Names that begin with `_` or `.` or end with `._COPYING_` are left out, and folders of such names with what is in
    them, as Spark does: `_` counts where there is no `=` in the name, and a folder that the URI itself names is read.

    Args:
        uri: A path, or a URI of `file`, `s3`, `gs`, `abfss` or `hdfs` as Spark writes them: nothing is percent-encoded,
            and `*`, `?`, `[a-c]`, `{a,b}` and `\` mean what they mean in Hadoop's globs.
        glob: A glob that the names of files must fit: Spark's `pathGlobFilter`.

    Returns:
        A table like `LISTING`, with paths as Spark gives them: `file:/a/b.jpg`, `s3a://bucket/a/b.jpg`.

    Raises:
        FileNotFoundError: There is nothing of that name, or nothing that the glob fits.
        ValueError: A glob is not valid, or the URI is of no scheme that can be listed.
        OSError: A folder, file or store cannot be looked at.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.jpg").write_bytes(b"abc"), (folder / "_b.jpg").write_bytes(b"")
        >>> list_files(f"file:{folder}")["length"].to_pylist()
        [3]
    """
    tree, pattern = _tree_of(uri)
    fits = None if glob is None else compile_glob(glob)
    roots = list(_roots(tree, pattern))
    if not roots:
        raise FileNotFoundError(f"input {redacted_uri(uri)} does not exist")
    found: dict[str, _Entry] = {}
    for root in roots:
        for entry in tree.walk(root.path) if root.is_folder else [root]:
            if not is_hidden_file(entry.name) and (fits is None or fits.fullmatch(entry.name)):
                found[entry.path] = entry
    tree.warn()
    files = [found[path] for path in sorted(found)]
    columns = [
        pa.array([tree.prefix + entry.path for entry in files], pa.string()),
        pa.array([entry.length for entry in files], pa.int64()),
        pa.array([1000 * entry.time for entry in files], pa.int64()).cast(LISTING.field(2).type),
    ]
    return pa.Table.from_arrays(columns, schema=LISTING)


def _hidden(name: str) -> bool:
    """Spark's `HadoopFSUtils.shouldFilterOutPathName`."""
    if name.startswith(("_metadata", "_common_metadata")):
        return False
    return name.startswith(".") or (name.startswith("_") and "=" not in name) or name.endswith("._COPYING_")


def is_hidden_file(name: str) -> bool:
    """Whether a file of this name is left out; Spark's `PartitioningAwareFileIndex.isDataPath` spares none."""
    return _hidden(name) or (name.startswith("_") and "=" not in name)


def _roots(tree: _Local | _Remote, pattern: str) -> Iterator[_Entry]:
    """The files and folders that a path or glob names, as Hadoop's `Globber` finds them: hidden ones, too."""
    if not is_glob(pattern):
        found = tree.entry(pattern)
        yield from [] if found is None else [found]
        return
    for glob in split_braces(pattern):
        parts = [part for part in glob.split("/") if part]
        compiled = [compile_glob(part) if has_wildcard(part) else unescaped(part) for part in parts]
        entries = [_Entry("", is_folder=True)]
        for part in compiled:
            folders = [entry.path for entry in entries if entry.is_folder]
            entries = [entry for folder in folders for entry in _fitting(tree, folder, part)]
        yield from entries


def _fitting(tree: _Local | _Remote, folder: str, part: re.Pattern[str] | str) -> list[_Entry]:
    """The files and folders in a folder that fit one part of a glob."""
    if isinstance(part, str):
        found = tree.entry(f"{folder}/{part}")
        return [] if found is None else [found]
    return [child for child in tree.children(folder) if part.fullmatch(child.name)]


def _tree_of(uri: str) -> tuple[_Local | _Remote, str]:
    """Where a URI is, and the path or glob in it."""
    uri = mounted(uri)
    if scheme_of(uri) in ("", "file"):
        path = literal_path(uri) if scheme_of(uri) else os.path.abspath(uri)  # noqa: PTH100 - links stay as they are
        return _Local(), "/" + os.path.normpath(path).lstrip("/")
    if known_scheme(uri) == "https":
        raise ValueError(f"{redacted_uri(uri)}: https has no listing; give a table with a column of URLs")
    store, key = store_of(uri)
    scheme, authority, _ = store_parts(uri)
    return _Remote(store.systems[0], store.root.rstrip("/"), f"{scheme}://{authority}"), f"/{key}"


class _Local:
    """Local disks."""

    prefix = "file:"

    def __init__(self) -> None:
        """Has no files yet."""
        self._unreadable: list[str] = []

    def entry(self, path: str) -> _Entry | None:
        """What is at a path; None for nothing, and for what is neither file nor folder."""
        found = _looked_at(path, partial(os.stat, path))
        return None if found is None else _local_entry(path, found)

    def children(self, folder: str) -> list[_Entry]:
        """The files and folders in a folder, those that links lead to among them."""
        found = _looked_at(folder or "/", partial(_scanned, folder or "/")) or []
        entries = [self._child(f"{folder.rstrip('/')}/{item.name}", item) for item in found]
        return [entry for entry in entries if entry is not None]

    def _child(self, path: str, item: os.DirEntry[str]) -> _Entry | None:
        try:
            item.name.encode()
        except UnicodeEncodeError:
            self._unreadable.append(path)
            return None
        try:
            return (
                _Entry(path, is_folder=True) if item.is_dir(follow_symlinks=False) else _local_entry(path, item.stat())
            )
        except FileNotFoundError:
            return None
        except OSError:
            return self.entry(path)

    def walk(self, folder: str) -> Iterator[_Entry]:
        """The files under a folder; none in hidden folders."""
        ahead = [folder]
        while ahead:
            folder = ahead.pop()
            for entry in self.children(folder):
                if not entry.is_folder:
                    yield entry
                elif not _hidden(entry.name) and not _leads_back(entry.path):
                    ahead.append(entry.path)

    def warn(self) -> None:
        """Says what was left out against the user's expectation."""
        if self._unreadable:
            count, example = len(self._unreadable), self._unreadable[0]
            warn(f"left out {count:,} names that are not UTF-8, which Spark cannot read, such as {example!r}")


def _scanned(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(found)


def _looked_at(path: str, look: Callable[[], T]) -> T | None:
    """What a look at a path gives; None where there is nothing.

    Raises:
        OSError: It cannot be looked at, although a fault that may pass was tried again.
    """
    try:
        return tried_again(path, look)
    except ReadError as error:
        if error.kind == MISSING:
            return None
        raise OSError(f"{path} cannot be listed: {error.reason}") from None


def _leads_back(path: str) -> bool:
    """Whether a folder is a link to one that it is in."""
    if not os.path.islink(path):  # noqa: PTH114
        return False
    target = os.stat(path)  # noqa: PTH116
    above = path.rpartition("/")[0]
    while above:
        if os.path.samestat(target, os.stat(above)):  # noqa: PTH116
            return True
        above = above.rpartition("/")[0]
    return False


def _local_entry(path: str, found: os.stat_result) -> _Entry | None:
    if stat.S_ISDIR(found.st_mode):
        return _Entry(path, is_folder=True)
    return _Entry(path, False, found.st_size, found.st_mtime_ns // 10**6) if stat.S_ISREG(found.st_mode) else None  # noqa: FBT003


class _Remote:
    """A store, by pyarrow."""

    def __init__(self, system: Any, root: str, prefix: str) -> None:
        """Names a place.

        Args:
            system: pyarrow's file system.
            root: What its paths begin with.
            prefix: What paths of the listing begin with in place of that.
        """
        self._system = system
        self._root = root
        self.prefix = prefix

    def entry(self, path: str) -> _Entry | None:
        """What is at a path; None for nothing."""
        return self._entry(info_of(self._system, f"{self._root}{path}".rstrip("/") or "/"))

    def warn(self) -> None:
        """Nothing is left out."""

    def children(self, folder: str) -> list[_Entry]:
        """The files and folders in a folder."""
        return self._selected(folder, recursive=False)

    def walk(self, folder: str) -> Iterator[_Entry]:
        """The files under a folder; none in hidden folders."""
        for entry in self._selected(folder, recursive=True):
            between = entry.path[len(folder) :].strip("/").split("/")[:-1]
            if not entry.is_folder and not any(map(_hidden, between)):
                yield entry

    def _selected(self, folder: str, *, recursive: bool) -> list[_Entry]:
        infos = listed(self._system, f"{self._root}{folder}".rstrip("/") or "/", recursive=recursive)
        entries = map(self._entry, infos)
        return [entry for entry in entries if entry is not None]

    def _entry(self, info: Any) -> _Entry | None:
        path = info.path[len(self._root) :]
        if info.is_file:
            return _Entry(path, False, info.size, (info.mtime_ns or 0) // 10**6)  # noqa: FBT003
        return _Entry(path, is_folder=True) if info.type.name == "Directory" else None
