"""The HTTP door: the wire (limits, framing, strict JSON, the server), and the routes on top of it."""
