"""What `holdfast run -- COMMAND` does: a session around any command, and no writer left behind.

Three processes: the *runner* (`holdfast run`) starts the session, beats and ends it; the *keeper* (`keeper.py`, a file
of its own) is the command's parent and outlives the runner just long enough to clean up after it; the *command* runs as
if it had been started from the shell. Nothing here knows what the command does, and no rule about sessions lives here:
the server decides, the runner obeys.
"""
