"""What the classes of the public face share: requests to the broker, station state, sending, reading.

Invariant: nothing here is public, and nothing here imports the public classes.
"""
