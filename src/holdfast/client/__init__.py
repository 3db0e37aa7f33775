"""What talks to a Holdfast server: requests, credentials, and the spool for when it is away.

Standard library only, so that hooks and the runner start fast. No rule about sessions lives here.
"""
