"""``memphis engine-config``: prepares an existing NATS server for ``memphis serve --engine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memphis_broker.cli import _output


def engine_config(
    secrets_out: Annotated[
        Path, typer.Option(help="New file for the secrets; give it to every broker.")
    ],
    legacy: Annotated[bool, typer.Option(help="Let the original's SDKs in, unmodified.")] = True,
) -> None:
    """Make secrets for an existing NATS server, and print the part of its config that fits them.

    Put the printed text into the configuration of every server of the cluster, then start brokers
    with --engine URL --engine-secrets FILE.
    """
    from memphis_broker.config import StartupError  # noqa: PLC0415 - see cli/commands.py
    from memphis_broker.engine.accounts import EngineSecrets  # noqa: PLC0415
    from memphis_broker.engine.config_text import accounts_text  # noqa: PLC0415

    secrets = EngineSecrets.generate()
    try:
        secrets.write(secrets_out)
    except StartupError as error:
        _output.write_error(str(error))
        raise typer.Exit(error.exit_code) from error
    _output.write_line(accounts_text(secrets, original_sdks=legacy).rstrip("\n"))
