"""Everything that sam2_core raises on purpose.

    SAM2Error
    ├── PromptError (also a ValueError)   a prompt that cannot be used
    ├── VideoError                        a source that cannot be opened, or a frame that cannot be read
    ├── ModelError                        a model that is unknown, missing, broken or does not fit
    ├── ExportError                       a result that cannot be written or read back
    └── SessionError                      the session cannot do this
        ├── SessionClosedError            it was closed
        ├── SessionVideoError             a saved session's video is unknown, gone, or another one
        └── SupersededError               a prompt was added or removed while a propagation was running

Each message is one line that says what is there and what to do.
"""


def reason(error: BaseException) -> str:
    """What an exception of another library says, on one line; its name where it says nothing.

    Of an error of the system only what it is: whoever writes the message names the file.
    """
    if isinstance(error, KeyError) and error.args:
        return f"the key {error.args[0]!r} is missing"
    text = str(getattr(error, "strerror", None) or error)
    return " ".join(text.split()) or type(error).__name__


class SAM2Error(Exception):
    """The root of the tree: catch this to catch whatever the package raises on purpose."""


class PromptError(SAM2Error, ValueError):
    """A prompt that cannot be used; nothing of the session has changed."""


class VideoError(SAM2Error):
    """A source that cannot be opened, or a frame that cannot be read."""


class ModelError(SAM2Error):
    """A model that is unknown, missing, broken or does not fit."""


class ExportError(SAM2Error):
    """A result that cannot be written, or a written one that cannot be read back."""


class SessionError(SAM2Error):
    """The session cannot do this."""


class SessionClosedError(SessionError):
    """The session was closed; open it again to go on."""


class SessionVideoError(SessionError):
    """A saved session's video is unknown, gone, or another one; a host can ask for the right one.

    Args:
        problem: what is wrong.
        advice: what to do about it in Python.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem, advice)

    def __str__(self) -> str:
        return "; ".join(self.args)

    @property
    def problem(self) -> str:
        """What is wrong, for hosts whose advice is not that of Python."""
        return str(self.args[0])


class SupersededError(SessionError):
    """A prompt was added or removed while this propagation was running; start ``propagate`` again."""
