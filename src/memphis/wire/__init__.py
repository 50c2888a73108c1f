"""The language that SDK and broker both speak: names, subjects, headers, partitions, errors, models.

Invariant: nothing here does I/O, reads a clock or keeps state. A word of the protocol is spelled
in exactly one place of this package.
"""
