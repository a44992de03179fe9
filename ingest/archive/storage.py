"""Files of the archive on a local disk, an object store or HDFS: all paths are below one root."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from graph.errors import ArchiveError, ConfigurationError

FoundT = TypeVar("FoundT")

TEMPORARY_SUFFIX = ".tmp"
"""End of the names of files that are being written; they also begin with a dot, so that no reader takes them."""


class Storage:
    """The file system of an archive; its errors are ours."""

    def __init__(self, root: str, *, sync: bool = True) -> None:
        """Open a root; nothing is made yet.

        Parameters
        ----------
        root : a path, or a URI such as ``s3://bucket/archive`` or ``hdfs://host:port/archive``.
        sync : wait until the disk has a file before it gets its name, so that it outlives a loss of power; an object
            store does so by itself.

        Raises
        ------
        ConfigurationError : no file system answers to the URI.
        """
        self.root = root
        try:
            if "://" in root:
                self._files, self._base = fs.FileSystem.from_uri(root)
            else:
                self._files, self._base = fs.LocalFileSystem(), str(Path(root).expanduser().absolute())
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ConfigurationError("The archive's root is not a path or URI that can be opened.") from error
        self._is_local = isinstance(self._files, fs.LocalFileSystem)
        self._sync = sync and self._is_local
        self.on_step: Callable[[str], None] = lambda _: None
        """Called with the name of each step that changes files; tests stop there."""

    @property
    def moves_folders(self) -> bool:
        """Whether a folder can be renamed in one step."""
        return self._files.type_name in {"local", "hdfs"}

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}"

    def _list(self, folder: str, kind: fs.FileType) -> list[str]:
        with _ours(f"list {folder}"):
            found = self._files.get_file_info(fs.FileSelector(self._full(folder), allow_not_found=True))
        return sorted(one.base_name for one in found if one.type is kind)

    def files(self, folder: str) -> list[str]:
        """Return the names of a folder's files, sorted; none when there is no such folder."""
        return self._list(folder, fs.FileType.File)

    def folders(self, folder: str) -> list[str]:
        """Return the names of a folder's folders, sorted; none when there is no such folder."""
        return self._list(folder, fs.FileType.Directory)

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder."""
        with _ours(f"look for {path}"):
            return self._files.get_file_info(self._full(path)).type is not fs.FileType.NotFound

    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading anywhere in it."""
        with _ours(f"open {path}"):
            return self._files.open_input_file(self._full(path))

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        with self.open(path) as stream, _ours(f"read {path}"):
            return bytes(stream.read())

    @contextmanager
    def create(self, path: str) -> Iterator[pa.NativeFile]:
        """Write a file that is there as a whole or not at all; one of the same name is replaced."""
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}"
        with _ours(f"write {path}"):
            self._files.create_dir(self._full(folder), recursive=True)
            try:
                with self._files.open_output_stream(self._full(temporary)) as stream:
                    yield stream
            except (OSError, pa.ArrowException):
                # A full disk gets its space back at once.
                self._files.delete_file(self._full(temporary))
                raise
            self.on_step("written")
            self._settle(temporary)
            self._rename(temporary, path)
            self._settle(folder)
            self.on_step("renamed")

    def _settle(self, path: str) -> None:
        """Wait until the local disk has a file or folder, and leave the machine's memory to others.

        Nothing reads a new file soon. Its pages would push out those of the database, and on virtual machines fresh
        pages cost ten times the processor time of the write itself.
        """
        if not self._sync:
            return
        handle = os.open(self._full(path), os.O_RDONLY)
        try:
            os.fsync(handle)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)

    def _rename(self, source: str, target: str) -> None:
        try:
            self._files.move(self._full(source), self._full(target))
        except OSError:
            # HDFS renames onto nothing only. A crash between these two lines is a file that is written again.
            if self._is_local or not self.exists(target):
                raise
            self._files.delete_file(self._full(target))
            self._files.move(self._full(source), self._full(target))

    def move(self, source: str, target: str) -> None:
        """Rename a file or a folder; there must be nothing at the target."""
        with _ours(f"rename {source}"):
            self._files.create_dir(self._full(target.rpartition("/")[0]), recursive=True)
            self._files.move(self._full(source), self._full(target))
        self.on_step("moved")

    def make_folder(self, folder: str) -> None:
        """Make a folder and what is above it."""
        with _ours(f"make {folder}"):
            self._files.create_dir(self._full(folder), recursive=True)

    def delete_file(self, path: str) -> None:
        """Delete a file if it is there."""
        with _ours(f"delete {path}"):
            if self.exists(path):
                self._files.delete_file(self._full(path))
        self.on_step("deleted")

    def delete_folder(self, folder: str) -> None:
        """Delete a folder with all that is in it, if it is there."""
        with _ours(f"delete {folder}"):
            if self.exists(folder):
                self._files.delete_dir(self._full(folder))
        self.on_step("deleted")


@contextmanager
def _ours(what: str) -> Iterator[None]:
    """Turn errors of the file system and of Arrow into ours."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ArchiveError(f"The archive could not {what}: {reason}") from error
