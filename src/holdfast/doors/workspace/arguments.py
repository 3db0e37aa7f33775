"""A command line as options: what `argparse` would do, at a tenth of what importing it costs."""

from typing import NamedTuple

Value = str | int | bool | tuple[str, ...]


class Usage(Exception):
    """The command line is wrong; the text says how."""


class HelpWanted(Exception):
    """Somebody asks what there is."""


class Option(NamedTuple):
    """One option. choices: what it takes; None: any text. is_number: a whole number within `numbers`.

    is_flag: it takes nothing.
    """

    name: str
    meaning: str
    choices: tuple[str, ...] | None = None
    is_number: bool = False
    numbers: tuple[int, int] = (0, 2**53)
    is_flag: bool = False
    is_required: bool = False
    is_repeated: bool = False
    default: str | None = None

    @property
    def key(self) -> str:
        """Its name in what was parsed."""
        return self.name.removeprefix("--").replace("-", "_")


class Arguments(NamedTuple):
    """What was given. options: by key; what was not given is absent. words: what belongs to no option."""

    options: dict[str, Value]
    words: tuple[str, ...]

    def text(self, key: str) -> str | None:
        """The text of an option; None: not given."""
        value = self.options.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        """The number of an option; None: not given."""
        value = self.options.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def flag(self, key: str) -> bool:
        """Whether a flag was given."""
        return self.options.get(key) is True

    def texts(self, key: str) -> tuple[str, ...]:
        """The texts of an option that may be repeated, in order."""
        value = self.options.get(key)
        return value if isinstance(value, tuple) else ()


def parse(argv: list[str], options: tuple[Option, ...]) -> Arguments:
    """The options and words of a command line. Raises: Usage, HelpWanted."""
    known = {option.name: option for option in options}
    given: dict[str, Value] = {}
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word in ("-h", "--help"):
            raise HelpWanted
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, attached = word.partition("=")
        option = known.get(name)
        if option is None:
            raise Usage(_unknown(name, known))
        if option.is_flag:
            if equals:
                raise Usage(f"`{name}` takes no value")
            given[option.key] = True
            continue
        if not equals and not rest:
            raise Usage(f"`{name}` needs a value")
        value = _value(option, attached if equals else rest.pop(0))
        if option.is_repeated:
            before = given.get(option.key, ())
            assert isinstance(before, tuple)
            given[option.key] = (*before, str(value))
        else:
            given[option.key] = value
    return Arguments(given, tuple(words))


def require(arguments: Arguments, options: tuple[Option, ...]) -> None:
    """Make sure that what must be given is. Raises: Usage."""
    for option in options:
        if option.is_required and option.key not in arguments.options:
            raise Usage(f"`{option.name}` is required")


def _value(option: Option, text: str) -> str | int:
    if option.choices is not None and text not in option.choices:
        raise Usage(f"`{option.name}` must be one of {', '.join(option.choices)}")
    if not option.is_number:
        return text
    low, high = option.numbers
    if not (text.isascii() and text.isdecimal() and len(text) < 17 and low <= int(text) <= high):
        raise Usage(f"`{option.name}` must be a whole number from {low} to {high}")
    return int(text)


def _unknown(name: str, known: dict[str, Option]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f"there is no option `{name}`" + (f"; did you mean `{near[0]}`?" if near else "")


def help_of(options: tuple[Option, ...]) -> list[str]:
    """The options as lines of a help text."""
    lines = []
    for option in options:
        takes = "" if option.is_flag else " " + ("|".join(option.choices) if option.choices else _metavar(option))
        needed = "  (required)" if option.is_required else ""
        lines.append(f"  {option.name}{takes}{needed}\n      {option.meaning}")
    return lines


def _metavar(option: Option) -> str:
    return "N" if option.is_number else option.key.upper()
