"""Segments in object storage: put them there by address, list them, and read them in ranges.

An address is a URL that pyarrow knows (`file`, `s3`, `gs`, `abfs`, `hdfs`), or one that fsspec knows where that is
installed, or a path.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.cassette.ranges import unreadable
from harness.cassette.segment import Segment, open_segment
from harness.errors import CassetteError
from runtime.errors import UsageError


class Store:
    """A folder of an object store.

    Attributes:
        url: What it is called in messages.
    """

    def __init__(self, filesystem: Any, root: str, *, url: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self.url: str = url.rstrip("/")

    def upload(self, path: Path) -> str:
        """Put a local file into the store under its own name and return its address.

        A reader sees the whole object or none.

        Raises:
            CassetteError: If the store does not take it.
        """
        target = f"{self._root}/{path.name}"
        with _storing(f"{self.url}/{path.name}"):
            # Object stores show an object when it is closed; a local disk shows it growing.
            growing = self._filesystem.type_name == "local"
            if growing:
                self._filesystem.create_dir(self._root, recursive=True)
            written = f"{self._root}/.{path.name}.tmp" if growing else target
            with path.open("rb") as source, self._filesystem.open_output_stream(written) as out:
                while block := source.read(1 << 20):
                    out.write(block)
            if growing:
                self._filesystem.move(written, target)
        return f"{self.url}/{path.name}"

    def names(self, suffix: str) -> list[str]:
        """Return the names below the store that end so, sorted.

        Raises:
            CassetteError: If the store cannot be listed.
        """
        from pyarrow import fs

        with _storing(self.url):
            found = self._filesystem.get_file_info(fs.FileSelector(self._root, recursive=True))
        prefix = len(self._root) + 1
        return sorted(info.path[prefix:] for info in found if info.is_file and info.path.endswith(suffix))

    def open(self, name: str) -> Segment:
        """Open a segment of the store by its index: one read, and one more for each run.

        Raises:
            CassetteError: If it is missing, damaged or no segment.
        """
        return open_segment(self.ranges(name))

    def ranges(self, name: str) -> StoreRanges:
        """Return an object of the store, to be read in ranges."""
        return StoreRanges(self._filesystem, f"{self._root}/{name}", f"{self.url}/{name}")


class StoreRanges:
    """An object of a store, read in ranges."""

    def __init__(self, filesystem: Any, path: str, name: str) -> None:
        self._filesystem = filesystem
        self._path = path
        self._size: int | None = None
        self.name = name

    def size(self) -> int:
        """Return how many bytes the object has.

        Raises:
            CassetteError: If it is missing.
        """
        if self._size is None:
            with _storing(self.name):
                info = self._filesystem.get_file_info(self._path)
            if not info.is_file:
                raise CassetteError("there is no such object", where=self.name, next_step="check the address")
            self._size = info.size
        assert self._size is not None
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Return some bytes of the object.

        Raises:
            CassetteError: If they cannot be read.
        """
        with _storing(self.name), self._filesystem.open_input_file(self._path) as file:
            return bytes(file.read_at(length, offset))


def open_store(address: str) -> Store:
    """Return the store of an address.

    Raises:
        UsageError: If nothing here knows such an address.
    """
    from pyarrow import fs

    try:
        filesystem, root = fs.FileSystem.from_uri(
            address if is_url(address) else str(Path(address).absolute())
        )
    except (ValueError, OSError) as error:
        filesystem, root = _from_fsspec(address, error)
    return Store(filesystem, root, url=address)


def read_remote_segment(address: str) -> Segment:
    """Open a segment by its address.

    Raises:
        CassetteError: If it is missing, damaged or no segment.
        UsageError: If nothing here knows such an address.
    """
    folder, _, name = address.rpartition("/")
    return open_store(folder or ".").open(name)


def is_url(address: str) -> bool:
    """Return whether a text is an address and no path."""
    return "://" in address


def _from_fsspec(address: str, reason: Exception) -> tuple[Any, str]:
    from pyarrow import fs

    try:
        fsspec: Any = importlib.import_module("fsspec")
    except ImportError as error:
        raise UsageError(
            f"no store is known for {address!r}: {reason}",
            next_step="use a URL that pyarrow knows, or install fsspec and the package of the store",
        ) from error
    try:
        filesystem, root = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError, OSError) as error:
        raise UsageError(f"no store is known for {address!r}: {error}") from error
    handler: Any = fs.FSSpecHandler
    return fs.PyFileSystem(handler(filesystem)), root


@contextmanager
def _storing(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise unreadable(error, where) from error
