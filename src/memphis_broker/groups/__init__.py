"""Consumer groups: one durable position in every partition of a station."""
