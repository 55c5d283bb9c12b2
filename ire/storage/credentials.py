"""Removes credentials from URIs that users give, so that no report, record or screen shows them.

The rest, `s3://bucket/sweeps`, is the location everywhere. The credentials are kept in an environment variable of this
process, which its children inherit, and are used only to open the store.
"""

import json
import os
import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from ire.foreign_text import without_secrets
from ire.invalid_input import InvalidInput

VARIABLE = "IRE_STORAGE_CREDENTIALS"
"""JSON of the user part and the secret query parameters, by scheme and host."""

SECRET = re.compile(r"(?i)secret|token|passw|signature|credential|access_?key|account_?key|^sig$")
"""Query parameters that are credentials."""


def without_credentials(location: str) -> str:
    """The URI without its credentials, which this process remembers; other locations unchanged.

    Raises `InvalidInput` for a key with a slash, which ends the host of a URI.
    """
    if "://" not in location:
        return location
    parts = urlsplit(location)
    user, at, host = parts.netloc.rpartition("@")
    if not at and "@" in parts.path and not _is_host(parts):
        raise InvalidInput(
            f"{without_secrets(location)!r}: the key before the @ contains a slash: write it as %2F"
        )
    query = parse_qsl(parts.query, keep_blank_values=True)
    secret = [(name, value) for name, value in query if SECRET.search(name)]
    if not secret and ":" not in user:
        return location
    kept = "&".join(part for part in parts.query.split("&") if not SECRET.search(part.partition("=")[0]))
    if ":" in user:  # without a colon it is the container of an Azure store
        parts = parts._replace(netloc=host)
    clean = parts._replace(query=kept)
    known = _known()
    known[_key(clean)] = {"user": user if ":" in user else "", "query": urlencode(secret)}
    os.environ[VARIABLE] = json.dumps(known)
    return urlunsplit(clean)


def with_credentials(location: str) -> str:
    """The URI with the credentials that this process or its parent received, for opening the store."""
    parts = urlsplit(location)
    found = _known().get(_key(parts))
    if found is None:
        return location
    netloc = f"{found['user']}@{parts.netloc}" if found["user"] else parts.netloc
    query = "&".join(part for part in (parts.query, found["query"]) if part)
    return urlunsplit(parts._replace(netloc=netloc, query=query))


def _key(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _known() -> dict[str, dict[str, str]]:
    return json.loads(os.environ.get(VARIABLE, "{}"))


def _is_host(parts: SplitResult) -> bool:
    try:
        return parts.port is not None or ":" not in parts.netloc
    except ValueError:
        return False
