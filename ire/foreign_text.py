"""Makes text that others wrote - errors, names, a stranger's records - safe to show, once for each medium.

An exception may hold terminal codes, markup, or the URI of a storage with its password. `visible` shows all of it as
text and hides secrets; `in_markdown`, `in_html` and `in_spreadsheet` also escape what their medium interprets.
"""

import html
import re
from typing import TypeVar

Cell = TypeVar("Cell")

INVISIBLE = re.compile(
    # controls except tab and line feed; what reverses the writing direction or breaks a line; halves of characters
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
SECRETS = (
    re.compile(
        r"(?<=://)(?!\[?[\w.-]*\]?:\d+(?:[/?\s]|$))[^\s/@:\"']*:[^\s@\"']*(?=@)"
    ),  # s3://KEY:SECRET@bucket
    re.compile(r"(?:(?<=https://)|(?<=http://))[^\s/@:]+(?=@)"),  # https://TOKEN@host
    re.compile(
        r"(?i)(?<=[?&])(?:[\w.-]*(?:secret|token|passw|signature|credential|access_?key|account_?key)[\w.-]*|sig)"
        r"=[^&\s'\"]+"
    ),
)
HIDDEN = "***"
MARKDOWN = re.compile(r"[|<]|(?<=\])[(\[:]")
"""Characters that begin a cell, a tag or a link."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters with which a spreadsheet begins a formula."""


def without_secrets(text: str) -> str:
    """The text with passwords and keys in URIs as `***`."""
    user, token, parameter = SECRETS
    text = token.sub(HIDDEN, user.sub(HIDDEN, text))
    return parameter.sub(lambda found: f"{found[0].partition('=')[0]}={HIDDEN}", text)


def visible(text: object) -> str:
    """The text for a terminal or a log: control characters as escapes (`\\x1b`), secrets hidden; lines stay lines."""
    plain = str(text)
    if "://" in plain:
        plain = without_secrets(plain)
    return INVISIBLE.sub(_escape, plain.replace("\r\n", "\n"))


def in_one_line(text: object) -> str:
    """`visible`, with line breaks and tabs as spaces."""
    return re.sub(r"\s*[\n\t]\s*", " ", visible(text).strip())


def in_markdown(text: object) -> str:
    """The text as one line of Markdown, also inside a table cell: without tags, links, pictures or cell borders.

    Uses entities, because a backslash could be undone by another one. Emphasis and code stay.
    """
    return MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", in_one_line(text))


def in_html(text: object) -> str:
    """The text for a page, in an element or in a quoted attribute."""
    return html.escape(visible(text))


def in_spreadsheet(cell: Cell) -> Cell | str:
    """A cell of a CSV file: a text that a spreadsheet would compute is quoted; whatever is no text stays."""
    if not isinstance(cell, str):
        return cell
    shown = visible(cell)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
