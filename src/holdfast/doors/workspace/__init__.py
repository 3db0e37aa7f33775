"""The door of a workspace: commands over a database in a checkout, each a process that imports little."""
