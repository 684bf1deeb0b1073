"""What can be wrong with a state file."""


class StoreError(Exception):
    """The state cannot be opened. The text is one line: which file, what is wrong with it, what to do."""
