"""What went wrong that the user can put right: one line that says what, where, and the remedy."""


class InputError(ValueError):
    """A request that cannot be carried out as asked.

    The command line prints it as one line and leaves with status 2. What cannot be asked is refused before anything is written; what
    fails on the way (a full disk) leaves whole files only, from which the same command goes on.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str]]:
        """Worker processes send it home whole."""
        return InputError, (self.what, self.remedy)


def require_sizes(table: str, **sizes: int) -> None:
    """Refuse the first that is below 1, by the name that it has in a recipe's `table`."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{table}.{name} = {size} is below 1", "give a positive one")
