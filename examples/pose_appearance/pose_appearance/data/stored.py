"""Images in a file, for more of them than fit into memory: each batch is read where it is
needed.
"""

__all__ = ["StoredImages", "store_images"]

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self


class StoredImages:
    """Creates an array of images that stay in a `.npy` file.

    It has the shape, the type and the indexing over images of an array. Rows are read and not
    mapped: pages of a mapped file that were once touched count as memory of the process.

    Arguments:
        path: The file: uint8 with shape (N, H, W, 3).
        rows: Which of its images these are, in order; all by default.
    """

    def __init__(self, path: Path, rows: np.ndarray | None = None) -> None:
        try:
            header = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{path} must be a .npy file of images: {error}") from error
        if header.ndim != 4 or header.shape[3] != 3 or header.dtype != np.uint8:
            raise ValueError(
                f"{path} must hold uint8 images with shape (N, H, W, 3), "
                f"got {header.dtype} with shape {header.shape}"
            )
        self.path, self.dtype, self.offset = path, header.dtype, header.offset
        self.rows = np.arange(len(header)) if rows is None else rows
        self.shape = (len(self.rows), *header.shape[1:])
        self.ndim = 4
        self.bytes = int(np.prod(self.shape[1:]))
        self.file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> "np.ndarray | Self":
        """Reads one image, or those of an array of indices; a slice or a mask gives stored
        images.
        """
        if isinstance(index, slice) or (isinstance(index, np.ndarray) and index.dtype == bool):
            return type(self)(self.path, self.rows[index])
        chosen = np.asarray(self.rows[np.asarray(index)])
        images = np.empty((*chosen.shape, *self.shape[1:]), np.uint8)
        flat = images.reshape(-1, self.bytes)
        for place, row in zip(flat, chosen.reshape(-1), strict=True):
            place[:] = np.frombuffer(
                _read_at(self.file, self.bytes, self.offset + int(row) * self.bytes), np.uint8
            )
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Reads all of them."""
        images = self[np.arange(len(self))]
        return images if dtype is None else images.astype(dtype)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)

    def __getstate__(self) -> tuple[Path, np.ndarray]:
        return self.path, self.rows

    def __setstate__(self, state: tuple[Path, np.ndarray]) -> None:
        self.__init__(*state)  # type: ignore[misc]


def _read_at(file: int, count: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        content = os.pread(file, count, offset)
    else:
        os.lseek(file, offset, os.SEEK_SET)
        content = os.read(file, count)
    if len(content) != count:
        raise OSError(
            f"the file of images ends early: {count} bytes at {offset}, got {len(content)}"
        )
    return content


def store_images(path: Path, images: Iterable[np.ndarray], count: int, size: int) -> StoredImages:
    """Writes square images one after the other into a file, whole or not at all, and opens it.

    Arguments:
        path: The file.
        images: The images, each uint8 with shape (size, size, 3).
        count: How many they are.
        size: Their side in pixels.
    """
    # Ranks of one run may write at the same time.
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
            np.lib.format.write_array_header_1_0(file, header)
            file.writelines(np.ascontiguousarray(image, dtype=np.uint8).data for image in images)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return StoredImages(path)
