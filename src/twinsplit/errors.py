"""What went wrong that the user can put right: one line that says what, where, and the remedy."""


class InputError(ValueError):
    """A request that cannot be carried out as asked.

    The command line prints it as one line and leaves with status 2; nothing has been written.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str]]:
        """Worker processes send it home whole."""
        return InputError, (self.what, self.remedy)
