"""Work on a database as a whole, past any server: migrate, back up, restore, copy, examine.

It knows tables, not rules. What it may not decide by itself (a server has the file, the target is not empty) it
refuses, and says what to do. Doors call it; it calls the stores' files and schemas, and never a server's engine.
"""
