"""Files of text that people hand in: whether they are text in UTF-8, and JSON in them."""

import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from typing import Any

HEAD_BYTES = 4096
"""Looked at to tell text from what is none."""


def why_no_text(file: Path) -> str:
    """What is wrong with a file that is no text in UTF-8, and what to do; "" for text."""
    with file.open("rb") as stream:
        return why_not_utf8(stream.read(HEAD_BYTES))


def why_not_utf8(head: bytes) -> str:
    """The same of a file's first bytes; letters of other encodings of one byte are let through,
    as the names of files may hold them."""
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or _is_wide(head):
        return "text in UTF-16. Save it as UTF-8."
    if b"\0" in head:
        return "binary data where text is expected. Save it as text, or remove it."
    return ""


def _is_wide(head: bytes) -> bool:
    """Whether every second byte is 0, as it is of letters in two bytes."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    return max(even, odd) > len(head) / 4 and min(even, odd) == 0


def parse_json(content: bytes) -> Any:
    """The value of JSON.

    Raises:
        ValueError: What is wrong with it, and what to do.
    """
    if not content.strip():
        raise ValueError("an empty file. Export it again, or remove it.")
    if why := why_not_utf8(content[:HEAD_BYTES]):
        raise ValueError(why)
    try:
        return json.loads(content)
    except RecursionError:
        reason = "too deep"
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        place = f"line {error.lineno}, column {error.colno}"
        reason = f"it is cut off behind {place}" if is_cut else str(error)
    except UnicodeDecodeError:
        raise ValueError("text that is not in UTF-8. Save it as UTF-8.") from None
    except ValueError as error:
        reason = str(error)
    raise ValueError(f"no valid JSON ({reason}). Export it again.")
