"""Other libraries' errors in a message of one line."""


def first_line(error: BaseException) -> str:
    """The beginning of an error's message, which may go on for pages, or its type's name."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".: ")
