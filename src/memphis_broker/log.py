"""How log lines look: one line of text or one JSON object each, on standard error.

Set up once by the CLI before anything else runs. Invariant: standard output stays free of logs.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from memphis_broker.config import LogFormat, LogLevel


class _TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO    memphis_broker.server: text``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002 - the name and signature are logging's
        return _timestamp(record)


class _JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message and, if there is one, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure_logging(log_format: LogFormat, log_level: LogLevel) -> None:
    """Send every log line of this process to standard error; replaces an earlier set-up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format is LogFormat.JSON else _TextFormatter())
    logging.basicConfig(level=log_level.value.upper(), handlers=[handler], force=True)
    # nats-py reports through our callbacks as well; its own lines would say everything twice.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    # They would log every address that they are given, and that of a webhook is a secret.
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)
