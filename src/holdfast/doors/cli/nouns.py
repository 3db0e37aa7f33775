"""Groups of verbs about one noun, such as `holdfast task`, and the help that their verbs share."""

import click


class Noun(click.Group):
    """A group whose verbs end their help as the group does, each with those of the examples that are its own."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a verb; one with an epilog of its own keeps it."""
        if cmd.epilog is None:
            cmd.epilog = self._epilog_of(name or cmd.name)
        super().add_command(cmd, name)

    def _epilog_of(self, verb: str | None) -> str:
        """The group's epilog without the examples of other verbs."""
        kept, are_examples = [], False
        for line in (self.epilog or "").splitlines():
            are_examples = line == "Examples:" or (are_examples and line != "")
            if not (are_examples and line.startswith(" ")) or f"holdfast {self.name} {verb} " in f"{line} ":
                kept.append(line)
        return "\n".join(kept)
