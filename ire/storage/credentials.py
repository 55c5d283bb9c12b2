"""Credentials that stand in a URI are taken out of it where it comes in: no report, record or screen shows them.

What remains, `s3://bucket/sweeps`, is the location everywhere. The credentials go into an environment variable of this
process, which its children have, too, and are put back only to open the store.
"""

import json
import os
import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from ire.foreign_text import without_secrets
from ire.invalid_input import InvalidInput

VARIABLE = "IRE_STORAGE_CREDENTIALS"
"""By scheme and host, as JSON: what stands before the host, and parameters of the query."""

SECRET = re.compile(r"(?i)secret|token|passw|signature|credential|access_?key|account_?key|^sig$")
"""Parameters of a query that are credentials."""


def without_credentials(location: str) -> str:
    """The URI without what nobody should see, which this process remembers; anything else as it is.

    Raises `InvalidInput` for a key with a slash, which ends the host of a URI.
    """
    if "://" not in location:
        return location
    parts = urlsplit(location)
    user, at, host = parts.netloc.rpartition("@")
    if not at and "@" in parts.path and not _is_host(parts):
        raise InvalidInput(
            f"{without_secrets(location)!r}: the key before the @ holds a slash: write it as %2F"
        )
    query = parse_qsl(parts.query, keep_blank_values=True)
    secret = [(name, value) for name, value in query if SECRET.search(name)]
    if not secret and ":" not in user:
        return location
    kept = "&".join(part for part in parts.query.split("&") if not SECRET.search(part.partition("=")[0]))
    if ":" in user:  # and not the container of a store at Azure
        parts = parts._replace(netloc=host)
    clean = parts._replace(query=kept)
    known = _known()
    known[_key(clean)] = {"user": user if ":" in user else "", "query": secret}
    os.environ[VARIABLE] = json.dumps(known)
    return urlunsplit(clean)


def with_credentials(location: str) -> str:
    """The URI as a store is opened with it: with what this process, or its parent, was given."""
    parts = urlsplit(location)
    found = _known().get(_key(parts))
    if found is None:
        return location
    netloc = f"{found['user']}@{parts.netloc}" if found["user"] else parts.netloc
    query = "&".join(part for part in (parts.query, urlencode(list(map(tuple, found["query"])))) if part)
    return urlunsplit(parts._replace(netloc=netloc, query=query))


def _key(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _known() -> dict[str, dict]:
    return json.loads(os.environ.get(VARIABLE, "{}"))


def _is_host(parts: SplitResult) -> bool:
    try:
        return parts.port is not None or ":" not in parts.netloc
    except ValueError:
        return False
