"""The command line: it reads arguments, asks a server (or starts one), and says in words what came of it.

No rule about sessions lives here. What a verb does not need it does not import, so that `--help` costs what click does.
"""
