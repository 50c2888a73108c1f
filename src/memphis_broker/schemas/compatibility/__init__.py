"""Whether a new version of a schema gets along with those before it: pure rules, in words.

:func:`check` is what a new version must pass before it is stored; :func:`reads` is the question it
asks of each pair of versions, answered by one module for each schema type.
"""

from memphis_broker.schemas.compatibility.findings import Finding
from memphis_broker.schemas.compatibility.modes import check
from memphis_broker.schemas.compatibility.registry import reads

__all__ = ["Finding", "check", "reads"]
