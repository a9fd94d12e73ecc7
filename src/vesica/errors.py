"""The mistakes that a user can mend; the command line prints them as one sentence."""


class DataError(ValueError):
    """Something in a user's files is wrong; the message says what, where and what to do."""


def join_lines(problems: list[str], limit: int = 20) -> str:
    """Put many problems into one message; the first `limit` are spelled out."""
    shown = problems[:limit]
    if len(problems) > limit:
        shown.append(f"... and {len(problems) - limit} more")
    return "\n".join(shown)
