"""Stations: named logs of messages, each a set of partition streams and one record."""
