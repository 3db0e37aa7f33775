"""Why a database was left as it was: what is wrong, and what to do next."""

UNREACHABLE = "unreachable"
"""The code of a database that does not answer."""


class Refused(Exception):
    """Nothing was changed; the message says why, and what to do.

    code: what a program goes by. is_passing: another state, or another moment, would change the answer.
    """

    def __init__(self, code: str, message: str, *, is_passing: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.is_passing = is_passing


class Failed(Exception):
    """It was tried and did not succeed; what was there before is there still."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
