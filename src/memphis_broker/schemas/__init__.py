"""Schemas: named, versioned descriptions of messages that stations can require."""
