"""Everything that sam2_core raises on purpose.

    SAM2Error
    ├── PromptError (also a ValueError)   a prompt that cannot be used
    ├── VideoError                        a source that cannot be opened, or a frame that cannot be read
    ├── ModelError                        a model that is unknown, missing, broken or does not fit
    ├── ExportError                       a result that cannot be written or read back
    └── SessionError                      the session cannot do this
        ├── SessionClosedError            it was closed
        └── SupersededError               a prompt was added or removed while a propagation was running

Each message is one line that says what is there and what to do.
"""


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


class SupersededError(SessionError):
    """A prompt was added or removed while this propagation was running; start ``propagate`` again."""
