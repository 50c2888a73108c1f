"""The only place that writes to the terminal.

Results go to standard output; notes, progress and complaints to standard error, so that a pipe gets
results alone. rich is imported only by what draws.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal

Progress = Callable[[int, str], None]
"""Takes the amount done so far, and a text to show beside the bar."""

_PREFIX: Final = "memphis: "
_WIDTH_WITHOUT_TERMINAL: Final = 10_000


def counted(number: int, noun: str) -> str:
    """``1 message``, ``2,000 messages``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def write_line(text: str = "") -> None:
    """One line of a result, written at once even into a pipe."""
    print(text, flush=True)  # noqa: T201 - this is the place for it


def write_error(text: str) -> None:
    """One line of complaint: line breaks in ``text`` become spaces."""
    joined = " ".join(text.split())
    write_note(joined if joined.startswith(_PREFIX) else _PREFIX + joined)


def write_note(text: str) -> None:
    """One line for the person who waits, that is no part of the result."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - as above


def write_bytes(data: bytes) -> None:
    """Bytes of a result, as they are, written at once.

    Raises:
        BrokenPipeError: Nobody reads any more; see :func:`abandon_output`.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def abandon_output() -> None:
    """Standard output has no reader any more: let nothing else be written there at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def write_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as a result. A title that begins with ``>`` is a column aligned to the right."""
    from rich.console import Console  # noqa: PLC0415 - most commands draw nothing
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        side: Literal["left", "right"] = "right" if title.startswith(">") else "left"
        drawn.add_column(title.removeprefix(">"), justify=side, overflow="fold")
    for row in rows:
        drawn.add_row(*[Text(cell) for cell in row])
    # A pipe has no width; a row folded there would be a broken result.
    Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL).print(drawn)


def confirm(question: str) -> bool:
    """Ask a person; anything but a clear yes, and nobody there to ask, is no."""
    if not sys.stdin.isatty():
        return False
    write_note(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def ask_secret(question: str) -> str:
    """Ask a person for a line that is not shown; empty if there is none."""
    import getpass  # noqa: PLC0415 - most commands ask nothing

    try:
        return getpass.getpass(question, stream=sys.stderr)
    except EOFError:
        return ""


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Progress]:
    """A progress bar on standard error while the block runs; nothing where that is no terminal.

    Args:
        label: What is being done.
        total: The whole amount, None if it is not known.

    Yields:
        A function that takes the amount done so far and a text to show beside the bar.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _text: None
        return
    from rich import progress as bars  # noqa: PLC0415 - most commands draw nothing
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn("{task.fields[beside]}"),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, beside="")
        yield lambda done, text: bar.update(task, completed=done, beside=text)
