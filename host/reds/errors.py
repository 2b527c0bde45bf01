"""Errors that a user can cause and cure. Each is one sentence; the CLI prints it and exits with its code.

Anything else that escapes is a bug and keeps its traceback.
"""


class RedsError(Exception):
    """Base of the errors that are printed without a traceback."""

    exit_code = 1


class UsageError(RedsError):
    """The input or the environment is not what was asked for."""

    exit_code = 1


class DeviceError(RedsError):
    """A device, emulator or port did not do what the protocol says."""

    exit_code = 2


class VerificationError(RedsError):
    """Two things that must be equal are not."""

    exit_code = 3
