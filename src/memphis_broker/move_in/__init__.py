"""The road from an original Memphis.dev installation: what it has, and its messages, brought here."""
