"""Checks messages against schemas: one :class:`Codec` for each version, one file for each type.

SDK and broker use the same codecs, so a message is judged alike wherever it enters.
"""

from memphis.schema.codec import Codec
from memphis.schema.registry import compile_schema

__all__ = ["Codec", "compile_schema"]
