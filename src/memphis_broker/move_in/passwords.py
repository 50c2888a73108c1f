"""Keeps the new passwords of users that are imported, in a file for whoever imports them."""

from __future__ import annotations

import os
from pathlib import Path

from memphis_broker.move_in.model import MoveInError


class PasswordFile:
    """A new file for new passwords, made with the first of them; only its owner can read it.

    A line is a name, a tab and a password.

    Args:
        path: Where.

    Raises:
        MoveInError: There is something.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0
        if path.exists() or path.is_symlink():
            raise self._taken()

    def keep(self, name: str, password: str) -> None:
        """Write a line; it is on the disk when this returns.

        Raises:
            MoveInError: It cannot be written.
        """
        made = os.O_APPEND if self.count else os.O_CREAT | os.O_EXCL
        try:
            descriptor = os.open(self._path, os.O_WRONLY | made, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{name}\t{password}\n")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError as error:
            raise self._taken() from error
        except OSError as error:
            raise MoveInError(f"cannot write {self._path}: {error.strerror}") from error
        self.count += 1

    def _taken(self) -> MoveInError:
        return MoveInError(
            f"{self._path} exists, and may hold passwords; choose another name for the new ones"
        )
