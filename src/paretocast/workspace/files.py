"""Files on disk: bounded reads, atomic writes, folders.

All that results are made from is written through this module. A file appears whole or not at all:
it is written beside its place, flushed, and moved there. What machines read is JSON with a schema
version. Written in other ways are lines that are added (`append_line`), locks and claims
(`claims`), logs of workers and jobs, the queue of background jobs, and Optuna's copy of a study.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import math
import os
import stat
import tempfile
import time
import tokenize
import uuid
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.errors import StoreError
from paretocast.toml import nested_deeper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import FileIO
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

RECORD_SCHEMA_VERSION = 1
TAIL_BYTES = 4096  # read at once, from the end of a file
UNFINISHED = ".part"  # suffix of a file that is being written
MOST_BYTES = 64 << 20  # of a text or JSON file
MOST_ARRAY_BYTES = 4 << 30
MOST_DEPTH = 32  # of JSON
MOST_DIGITS = 18  # of a whole number, so that 64 bits hold it
MOST_SIZE = 1e150  # of a number, so that its square is one; data sets hold none beyond 1e100
# Whatever zipfile, zlib and numpy raise over bytes that are not what they were.
_DAMAGED_ARRAYS = (
    *(EOFError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def claim_folder(path: Path) -> Path:
    """Make a folder that was not there, with -2, -3 … behind its name where it was.

    Raises
    ------
    StoreError
        If it cannot be made.
    """
    create_folder(path.parent)
    claimed = path
    for number in itertools.count(2):
        try:
            claimed.mkdir()
        except FileExistsError:
            claimed = path.with_name(f"{path.name}-{number}")
        except OSError as error:
            raise StoreError(f"folder {claimed} cannot be made: {error.strerror}") from error
        else:
            break
    return claimed


def remove_empty(*folders: Path) -> None:
    """Remove folders that hold nothing."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def create_folder(path: Path) -> None:
    """Make a folder of the workspace and check that files can be written there.

    Raises
    ------
    StoreError
        If it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise StoreError(
            f"folder {path} cannot be written to: {error.strerror}; allow it, or choose another "
            "one, for studies with --workspace"
        ) from error


def list_names(folder: Path) -> list[str]:
    """Names of what is in a folder, hidden ones too; none if it does not exist.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    try:
        return os.listdir(folder)  # noqa: PTH208  (names are wanted, thousands of them)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror}") from error


def exists(path: Path) -> bool:
    """Return whether a file exists.

    Raises
    ------
    StoreError
        If the file system does not say.
    """
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def is_file(path: Path) -> bool:
    """Return whether a regular file exists; errors as `exists`, for links too."""
    return exists(path) and path.is_file()


def save_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file atomically, UTF-8.

    Parameters
    ----------
    private : bool
        For the eyes of its owner alone: it may hold what a user would not show.
    """
    content = text.encode("utf-8")
    _write_atomically(path, lambda file: file.write(content), private=private)


def save_json(path: Path, value: object, *, durable: bool = True, private: bool = False) -> None:
    """Write JSON atomically; NaN becomes null.

    Parameters
    ----------
    durable : bool
        Whether the disk must hold it before this returns. Not worth the wait for what only a
        display reads.
    private : bool
        For the eyes of its owner alone.

    Raises
    ------
    StoreError
        If the value holds an infinity: a failure is not a number.
    """
    try:
        text = json.dumps(without_nan(value), indent=2, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise StoreError(f"{path.name} would hold a number that is not finite") from error
    content = (text + "\n").encode("utf-8")
    _write_atomically(path, lambda file: file.write(content), durable=durable, private=private)


def open_regular(path: Path) -> BinaryIO:
    """A file opened for reading, if it is one: no device, and no pipe that nobody writes to.

    Raises
    ------
    StoreError
        If it is none.
    OSError
        If it cannot be opened.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise StoreError(f"{path} is no regular file; remove it")
    return file


def load_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """Read a regular file of at most so many bytes.

    Raises
    ------
    StoreError
        If it is missing, larger, no regular file, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise StoreError(f"{path} has more than {most >> 20} MiB, which no file of this kind has")
    return content


def load_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """Read a text file in UTF-8; errors as `load_bytes`, and for other encodings."""
    try:
        return load_bytes(path, most=most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def load_json(path: Path) -> Any:
    """Read JSON; what it holds is checked by `stored.load`.

    Raises
    ------
    StoreError
        If the file is missing or damaged, too large, nested too deep or holds a number beyond use.
    """
    return parse_json(load_text(path), path)


def parse_json(text: str | bytes, origin: object) -> Any:
    """The value of a JSON text, nested at most `MOST_DEPTH` deep, no number beyond `MOST_SIZE`.

    Raises
    ------
    StoreError
        That begins with the origin.
    """
    try:
        value = json.loads(
            text, parse_constant=_refuse_constant, parse_int=_sane_int, parse_float=_finite
        )
    except RecursionError as error:
        raise StoreError(
            f"{origin} is damaged: it is nested more than {MOST_DEPTH} deep"
        ) from error
    except ValueError as error:
        raise StoreError(f"{origin} is damaged: {error}") from error
    if nested_deeper(value, MOST_DEPTH):
        raise StoreError(f"{origin} is damaged: it is nested more than {MOST_DEPTH} deep")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _sane_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) > MOST_SIZE:
        raise ValueError(f"{text[:20]} is beyond {MOST_SIZE:g}, as no number of such a file is")
    return number


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write compressed arrays atomically."""
    _write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read arrays that `save_arrays` wrote.

    Raises
    ------
    StoreError
        If the file is missing or damaged, or its arrays take more than `MOST_ARRAY_BYTES`.
    """
    content = load_bytes(path, most=MOST_ARRAY_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MOST_ARRAY_BYTES:
                raise StoreError(
                    f"{path} would unpack to {size >> 20} MiB, which no such file does"
                )
            # An array that claims to be shorter would be read without its checksum.
            if broken := archive.testzip():
                raise StoreError(f"{path} is damaged: {broken} does not have its checksum")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _DAMAGED_ARRAYS as error:
        raise StoreError(f"{path} is damaged: {str(error) or type(error).__name__}") from error


def save_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    _write_atomically(path, lambda file: file.write(content))


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file at once, UTF-8; the disk holds it when this returns.

    A last line without its line feed, which a killed process has left, is cut off before. No other
    process may write the file meanwhile.

    Raises
    ------
    StoreError
        If the disk does not take the whole line; the file is then as it was.
    """
    content = f"{line}\n".encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            before = _end_of_lines(file)
            file.truncate(before)
            try:
                if file.write(content) != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def _end_of_lines(file: FileIO) -> int:
    """Bytes up to the last line feed, that included."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - TAIL_BYTES)
        file.seek(start)
        found = (file.read(end - start) or b"").rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write_atomically(
    path: Path,
    write: Callable[[BinaryIO], object],
    *,
    durable: bool = True,
    private: bool = False,
) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
        try:
            with temporary.open("wb") as file:
                if private:
                    os.fchmod(file.fileno(), stat.S_IRUSR | stat.S_IWUSR)
                write(file)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def move(path: Path, target: Path) -> None:
    """Move a file within its folder."""
    try:
        path.replace(target)
    except OSError as error:
        raise StoreError(f"{path} cannot be moved: {error.strerror}") from error


def remove_unfinished(folder: Path, *, older_than_seconds: float = 0.0) -> None:
    """Remove files that killed processes have left half written in a folder."""
    oldest = time.time() - older_than_seconds
    for path in folder.glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError):  # another process may be as tidy
            if path.stat().st_mtime <= oldest:
                path.unlink()


def without_nan(value: object) -> object:
    """The value as JSON can hold it: NaN becomes None, numpy scalars and tuples become plain."""
    match value:
        case dict():
            return {str(key): without_nan(item) for key, item in value.items()}
        case list() | tuple():
            return [without_nan(item) for item in value]
        case np.generic():
            return without_nan(value.item())
        case float() if math.isnan(value):
            return None
        case _:
            return value
