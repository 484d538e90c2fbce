"""The exception tree; each class carries the exit code of the command line."""


class SqueezeError(Exception):
    """Anything the user can be told in one line: what, where and the way out."""

    exit_code = 2


class InputError(SqueezeError):
    """Bad input, bad usage, or a disk or network that does not deliver (exit code 2)."""

    exit_code = 2


class MismatchError(SqueezeError):
    """Two things that must agree bit for bit do not (exit code 1)."""

    exit_code = 1


class DoesNotFitError(SqueezeError):
    """The network does not fit the board or the engine (exit code 3)."""

    exit_code = 3


class MissingToolError(SqueezeError):
    """A tool that was asked for is not installed (exit code 4)."""

    exit_code = 4


class ToolFailedError(SqueezeError):
    """An external tool ran and failed; the message names its log (exit code 5)."""

    exit_code = 5
