"""The ways into Holdfast. A door decodes, authenticates, hands one command or query on, and encodes the answer.

What is allowed in which state is decided in the domain, never here.
"""
