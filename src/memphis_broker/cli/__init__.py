"""The ``memphis`` command. Every command but ``serve`` is a client of the broker like any other."""
