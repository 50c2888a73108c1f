"""This SDK's connection to a broker that was started for a measurement, and so is as it comes.

Measured processes use it, too; it imports nothing but the SDK.
"""

from __future__ import annotations

from typing import Final

from memphis import Memphis

PASSWORD: Final = "memphis"
"""The root password of a broker that was told no other."""


async def connected(port: int) -> Memphis:
    """A new connection, which the caller closes."""
    memphis = Memphis()
    await memphis.connect("127.0.0.1", "root", password=PASSWORD, port=port)
    return memphis
