"""The entry point of the ``memphis`` script; the commands themselves are in commands.py.

It stands apart because the script is installed with the SDK alone as well, without what the
commands need. Invariant: it imports nothing but the standard library before it can say so.
"""

from __future__ import annotations

import sys

from memphis_broker.cli import _output

_OF_THE_EXTRA = {"httpx", "nats", "nkeys", "platformdirs", "rich", "typer"}
"""The top-level modules of the extra ``broker``, all of which come together or not at all."""
_EXIT_FAILED = 1


def main() -> None:
    """Run the command line that the process was started with, and end the process."""
    try:
        from memphis_broker.cli.commands import run  # noqa: PLC0415 - it may be missing, see above

        status = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        _output.write_error(
            f"this needs the extra 'broker' ({error.name} is missing); "
            "install it with: pip install 'memphis-py[broker]'"
        )
        status = _EXIT_FAILED
    sys.exit(status)
