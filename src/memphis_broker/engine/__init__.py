"""Everything that touches nats-server: the only place that imports nats-py."""
