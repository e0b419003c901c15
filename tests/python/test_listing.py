"""`list_files` beside Spark's own reader, on disks and in S3; Hadoop's globs beside Hadoop."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from object_store import ObjectStore, serving
from pyarrow.fs import FileInfo, FileType

from sparkcider.storage import faults, listing, stores
from sparkcider.storage.glob import compile_glob, has_wildcard, is_glob, split_braces, unescaped
from sparkcider.storage.listing import LISTING, list_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

NAMES = [
    "a.jpg", "a b%20c.jpg", "é.jpg", "=_.jpg", "x[1].jpg", "c,d.jpg", "a.jpeg",
    "_b.jpg", ".c.jpg", "..x.jpg", "_d=1.jpg", "e._COPYING_", "_metadata.jpg", "_common_metadata", "f_.jpg",
    "_h/x.jpg", ".h/x.jpg", "_p=1/x.jpg", "_metadata/x.jpg", "q._COPYING_/x.jpg", "sub/y.jpg", "sub/deep/er/z.png",
    "sub/_h/x.jpg", "sub/.h/x.jpg", "sup/y.jpg", "s.b/y.jpg", "_h/sub/x.jpg", "a{b}/y.jpg",
]  # fmt: skip
EMPTY = ["empty.jpg", "sub/empty.jpg", "_empty.jpg"]
URIS = [
    "", "/", "/sub", "/sub/", "//sub//deep/", "/sub/../sup", "/./sub", "/a.jpg", "/_h", "/.h", "/_metadata",
    "/_h/x.jpg", "/_b.jpg", "/_d=1.jpg", "/empty.jpg", "/a b%20c.jpg", "/é.jpg", "/*", "/*.jpg", "/*/*.jpg", "/s*",
    "/s?b", "/s[u.]b", "/s[^u]b", "/s[!p-z]b", "/{a,sub}*", "/{sub/y,a}.jpg", "/su{b,p}/{y,empty}.jpg",
    "/*/{deep/er,y.jpg}", "/x\\[1\\].jpg", "/c,d.jpg", "/{c\\,d,a}.jpg", "/_*", "/.h*", "/s*/d*/..", "/a\\{b}",
    "/{sub,sub/deep}", "/sub/{deep,_h}/*",
]  # fmt: skip
MISSING = ["/nothing", "/nothing*", "/a.jpg/x", "/sub/*.gif", "/{x,y}.jpg", "/a.jpg/*", "/x[1].jpg"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for number, name in enumerate([*NAMES, *EMPTY]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name in EMPTY else b"x" * (number + 1))
        os.utime(path, ns=(0, 1_700_000_000_000_000_000 + 1_234_567_891 * number))
    (folder / "link.jpg").symlink_to(folder / "a.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    (folder / "linked").symlink_to(folder / "sub")
    os.mkfifo(folder / "pipe.jpg")
    return folder


def by_spark(spark: SparkSession, uri: str, glob: str | None) -> list[tuple[Any, ...]]:
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    if glob is not None:
        reader = reader.option("pathGlobFilter", glob)
    files = reader.load(uri).selectExpr("path", "length", "unix_micros(modificationTime)")
    return sorted(tuple(row) for row in files.collect())


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    assert table.schema == LISTING
    times = table["modificationTime"].cast(pa.int64())
    return list(zip(table["path"].to_pylist(), table["length"].to_pylist(), times.to_pylist()))


@pytest.mark.parametrize("uri", URIS)
def test_files_are_those_that_spark_finds_and_the_empty_ones(spark: SparkSession, folder: Path, uri: str):
    found = rows(list_files(f"{folder}{uri}"))
    assert [row for row in found if row[1] > 0] == by_spark(spark, f"{folder}{uri}", None)
    assert all(row[0].endswith("/empty.jpg") for row in found if row[1] == 0)
    assert [row[0] for row in found] == sorted(row[0] for row in found)


@pytest.mark.parametrize(
    "glob", ["*.jpg", "{a,y}.jpg", "?.jpg", "*[0-9]*", "[^a]*", "empty.jpg", "*.gif", "", "*.jp{,e}g"]
)
def test_names_are_filtered_as_spark_filters_them(spark: SparkSession, folder: Path, glob: str):
    found = rows(list_files(str(folder), glob=glob))
    assert [row for row in found if row[1] > 0] == by_spark(spark, str(folder), glob)


@pytest.mark.parametrize("uri", MISSING)
def test_what_is_not_there_is_not_found_by_either(spark: SparkSession, folder: Path, uri: str):
    with pytest.raises(Exception, match="PATH_NOT_FOUND"):
        by_spark(spark, f"{folder}{uri}", None)
    with pytest.raises(FileNotFoundError, match=r"^input /.+ does not exist$"):
        list_files(f"{folder}{uri}")


def test_a_folder_without_files_is_an_empty_table(tmp_path: Path):
    assert list_files(str(tmp_path)).num_rows == 0
    assert list_files(str(tmp_path)).schema == LISTING


def test_paths_may_be_relative_or_uris(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder.parent)
    expected = list_files(str(folder))
    assert expected["path"][0].as_py() == f"file:{folder}/=_.jpg"
    for uri in (folder.name, f"./{folder.name}/", f"file:{folder}", f"file://{folder}", f"{folder.name}/sub/.."):
        assert list_files(uri) == expected


def test_a_link_to_a_folder_above_is_not_followed(tmp_path: Path):
    for name in ("a/x.jpg", "b/y.jpg", "c/z.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(tmp_path / "a")
    (tmp_path / "b/to_c").symlink_to(tmp_path / "c")
    (tmp_path / "c/to_b").symlink_to(tmp_path / "b")
    paths = [path.as_py()[len(f"file:{tmp_path}/") :] for path in list_files(str(tmp_path))["path"]]
    assert paths == ["a/x.jpg", "b/to_c/z.jpg", "b/y.jpg", "c/to_b/y.jpg", "c/z.jpg"]


CLOSED = """
import os, sys
from sparkcider.storage.listing import list_files
list_files(sys.argv[1])  # imports all that it takes, as another user may not
if os.geteuid() == 0:
    os.setuid(65534)  # root may look at everything
for uri in sys.argv[1:]:
    try:
        print(len(list_files(uri)))
    except OSError as error:
        print(error)
"""


@pytest.mark.parametrize("mode", [0o444, 0o111, 0o000])
def test_a_folder_that_is_closed_stops_the_listing(mode: int):
    """Without x its names are seen, but not what they are."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for place in ("a", "closed"):
            (folder / place).mkdir()
            (folder / place / "1.jpg").write_bytes(b"x")
        folder.chmod(0o755)
        (folder / "closed").chmod(mode)
        uris = [f"{name}/a", name, f"file:{name}/*/*.jpg", f"{name}/{{a,closed}}/1.jpg"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-c", CLOSED, *uris], env=environment, capture_output=True, text=True, check=True
        )
        (folder / "closed").chmod(0o755)
    closed = rf"{name}/closed(/1\.jpg)? cannot be listed: no permission: Permission denied"
    named = "2" if mode == 0o111 else closed  # what is named is looked at without a look into the folder
    expected = ["1", closed, closed, named]
    assert [re.fullmatch(*pair) is not None for pair in zip(expected, done.stdout.splitlines())] == [True] * 4


class Failing:
    """An entry of a folder on a disk that fails for some looks."""

    def __init__(self, entry: os.DirEntry[str], number: int) -> None:
        self.name, self.entry, self.number = entry.name, entry, number

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        return self.entry.is_dir(follow_symlinks=follow_symlinks)

    def stat(self) -> os.stat_result:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOENT, errno.EACCES, errno.ELOOP])
@pytest.mark.parametrize("lasts", [True, False])
def test_only_what_is_gone_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, lasts: bool):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"x")
    scandir, stat, looks = os.scandir, os.stat, []

    @contextlib.contextmanager
    def scanned(folder: str) -> Iterator[list[Any]]:
        with scandir(folder) as found:
            yield [Failing(entry, number) if entry.name == "b.jpg" else entry for entry in found]

    def looked_at(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("b.jpg"):
            looks.append(path)
            if lasts or len(looks) == 1:
                raise OSError(number, os.strerror(number))
        return stat(path, **options)

    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(listing.os, "scandir", scanned)
    monkeypatch.setattr(listing.os, "stat", looked_at)
    if number == errno.ENOENT:
        assert len(list_files(str(tmp_path))) == 2
    elif number in (errno.EIO, errno.ESTALE) and not lasts:
        assert len(list_files(str(tmp_path))) == 3
    else:
        with pytest.raises(OSError, match=rf"^{tmp_path}/b.jpg cannot be listed: .*{os.strerror(number)}"):
            list_files(str(tmp_path))


def test_names_that_are_no_text_are_left_out_with_a_warning(tmp_path: Path):
    (tmp_path / "a.jpg").touch()
    with open(os.fsencode(tmp_path) + b"/b\xff.jpg", "wb"):  # noqa: PTH123
        pass
    with pytest.warns(UserWarning, match=r"left out 1 names that are not UTF-8, .*b\\udcff\.jpg"):
        assert list_files(str(tmp_path)).num_rows == 1


def test_many_files_are_listed_at_once(tmp_path: Path):
    for number in range(3000):
        folder = tmp_path / str(number % 30)
        folder.mkdir(exist_ok=True)
        (folder / f"{number}_100.jpg").touch()
    begin = time.perf_counter()
    assert list_files(str(tmp_path)).num_rows == 3000
    assert time.perf_counter() - begin < 1  # 0.05 s where nothing else runs


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("https://host/a", "https://host/a: https has no listing; give a table with a column of URLs"),
        ("ftp://host/a", "a URI begins with one of"),
        ("/a/[", "glob '\\[' is not valid: a bracket is not closed"),
        ("s3://KEY:SECRET@b/a", "^s3://b/a has a password in it"),
    ],
)
def test_what_cannot_be_listed_is_a_value_error(uri: str, message: str):
    with pytest.raises(ValueError, match=message):
        list_files(uri)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The same files as objects `b/files/...`."""
    objects = {f"b/files/{name}": b"x" * (number + 1) for number, name in enumerate(NAMES)}
    objects.update({f"b/files/{name}": b"" for name in EMPTY})
    objects["b/files/marker/"] = b""  # what the console makes of a folder
    with serving(ObjectStore(objects)) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield store


@pytest.mark.parametrize("uri", [uri for uri in URIS if ".." not in uri and "./" not in uri and "//" not in uri])
def test_objects_are_listed_as_files_are(bucket: ObjectStore, folder: Path, uri: str):
    assert bucket.objects
    found = rows(list_files(f"s3a://b/files{uri}"))
    expected = [row for row in rows(list_files(f"{folder}{uri}")) if "/link" not in row[0]]
    shortened = [(path.replace("s3a://b/files", ""), length) for path, length, _ in found]
    assert shortened == [(path.replace(f"file:{folder}", ""), length) for path, length, _ in expected]
    assert {time for _, _, time in found} <= {1_735_689_600_000_000}


def test_a_large_bucket_comes_in_parts_and_faults_pass(bucket: ObjectStore):
    bucket.objects = {f"b/{number:05}.jpg": b"x" for number in range(2500)}
    bucket.faults["b"] = ["503"] * 3
    table = list_files("s3://b")
    assert table["path"].to_pylist() == [f"s3://b/{number:05}.jpg" for number in range(2500)]
    assert table["modificationTime"][0].as_py() == datetime(2025, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("fault", ["short", "empty", "foreign", "html"])
@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_page_that_is_not_a_listing_is_a_fault(bucket: ObjectStore, fault: str, page: int):
    """pyarrow takes a page without a body, and one of another kind, for the last one."""
    names = [f"{number % 3}/{number:05}.jpg" for number in range(2500)]
    bucket.objects = {f"b/{name}": b"x" for name in names}
    bucket.faults["b"] = [""] * page + [fault]  # the first answer is of HEAD
    assert list_files("s3://b")["path"].to_pylist() == sorted(f"s3://b/{name}" for name in names)
    bucket.faults["b"] = [""] * page + [fault]
    assert len(list_files("s3://b/?/*.jpg")) == 2500
    bucket.faults["b"] = [fault]
    assert len(list_files("s3://b/1")) == 833


def test_listings_that_never_agree_are_an_error(bucket: ObjectStore):
    bucket.objects = {f"b/{number:05}.jpg": b"x" for number in range(50)}
    bucket.faults["b"] = ["", *["empty", ""] * stores.LISTINGS]
    with pytest.raises(
        OSError, match=r"^s3://b: cannot be read: two listings at once differ by 50 of 50 names, such as "
    ):
        list_files("s3://b")
    assert not bucket.faults["b"]


def test_files_written_while_they_are_listed_are_no_fault():
    class Growing:
        type_name = "s3"
        listings = 0

        def get_file_info(self, _selector: Any) -> list[FileInfo]:
            self.listings += 1
            late = [FileInfo(f"b/late{self.listings}", FileType.File, mtime=datetime.now(timezone.utc))]
            return [FileInfo("b/early", FileType.File, mtime=datetime(2025, 1, 1, tzinfo=timezone.utc)), *late]

    system = Growing()
    assert {info.path for info in stores.listed(system, "b", recursive=True)} == {"b/early", "b/late1", "b/late2"}
    assert system.listings == 2


@pytest.mark.parametrize("uri", ["s3://b/nothing", "s3://b/files/*/nothing", "s3://b/files/nothing*"])
def test_objects_that_are_not_there_are_not_found(bucket: ObjectStore, uri: str):
    assert bucket.objects
    with pytest.raises(FileNotFoundError, match=r"^input s3://b/.+ does not exist$"):
        list_files(uri)


GLOBS = [
    "", "a", "*", "?", "a*b", "*.jpg", "[ab]", "[!ab]", "[^ab]", "[a-c]", "[]a]", "[a-]", "[-a]", "[a-b-c]", "[--a]",
    "[a&&b]", "[a||b]", "[[a]", "[", "[]", "[^]", "[z-a]", "[\\]]", "[\\-a]", "[\\[!]", "[{}]", "[*]", "[?]", "[.]",
    "{a,b}", "{a,{b,c}}", "{,a}", "x{}y", "{", "}", "{a,b", "a,b}", "{a,b}}", "{[,]}", "{a[}]b}", "a\\,b", "{a\\,b}",
    "\\*", "\\\\", "a\\", "a.b", "a|b", "(a)", "a+", "^a$", "é*", "a\nb", "!a", "a]", "[a]]", "[[]", "**", "*?*",
    "{*,?}", "{.a,_b}*", "_*", ".*",
]  # fmt: skip
LETTERS = "ab.-^![]{},*?\\_|(+$"


def test_globs_are_hadoops(spark: SparkSession):
    """Those above and 250 of any letters, each on names made of the same letters."""
    choice = random.Random(11)  # noqa: S311 - no secret
    drawn = ["".join(choice.choices(LETTERS, k=choice.randint(1, 8))) for _ in range(250)]
    names = ["".join(choice.choices(LETTERS, k=length)) for length in (1, 1, 2, 3) for _ in range(3)]
    names += ["", "a", "b", "c", "ab", "a.b", "a,b", "é", "_b", ".a", "a\nb", "a.jpg", "x", "xy", "]", "-"]
    jvm: Any = spark._jvm
    valid = 0
    for glob in [*GLOBS, *drawn]:
        try:
            hadoops = jvm.org.apache.hadoop.fs.GlobPattern(glob)
        except Exception:  # noqa: BLE001 - py4j's, of a class of re2j's that Hadoop has hidden
            with pytest.raises(ValueError, match="is not valid: "):
                compile_glob(glob)
            continue
        if re.search(r"(?<!\\)(\\\\)*\\[a-z]", glob):  # Hadoop hands \a to its regular expressions
            with pytest.raises(ValueError, match="has no meaning"):
                compile_glob(glob)
            continue
        ours = compile_glob(glob)
        valid += 1
        assert has_wildcard(glob) == hadoops.hasWildcard(), glob
        fits = hadoops.compiled()
        for name in names:
            assert (ours.fullmatch(name) is not None) == fits.matcher(name).matches(), (glob, name)
    assert valid > 120


def test_braces_are_split_as_hadoop_splits_them(spark: SparkSession):
    choice = random.Random(12)  # noqa: S311 - no secret
    examples = [
        "{a/b}",
        "/}{a/b}",
        "p{a/b,c/d}s",
        "{a/b,c/d,{e,f}}",
        "{a/b,c/d}{e,f}",
        "{a,b}/{b,{c/d,e/f}}",
        "{a,b}/{c/\\d}",
    ]
    drawn = ["".join(choice.choices("ab/{},\\/{}*", k=choice.randint(1, 14))) for _ in range(300)]
    expander = spark._jvm.org.apache.hadoop.fs.GlobExpander  # type: ignore[union-attr]
    for glob in [*examples, *drawn]:
        try:
            expected = list(expander.expand(glob))
        except Exception:  # noqa: BLE001, PERF203 - as above
            with pytest.raises(ValueError, match="a backslash at its end"):
                split_braces(glob)
        else:
            assert split_braces(glob) == expected


def test_a_path_without_special_letters_is_no_glob():
    assert not is_glob("/a b/é%20,!^-(1)")
    assert all(map(is_glob, ["a*", "a?", "[a]", "{a}", "a\\b", "a]", "a}"]))
    assert unescaped("a\\*b\\\\") == "a*b\\"
