"""A file over HTTP, going on where an earlier download ended."""

import os
import re
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bibleqa.artifacts import pinned
from bibleqa.artifacts.pinned import Artifact, SourceFailed, Url, check_space, sha256_of, size_of
from bibleqa.artifacts.progress import Progress

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
# How long a connection may be silent.
SILENCE_SECONDS = 30.0
# The first pause between tries, doubled each time.
BACKOFF_SECONDS = 1.0

# Hosts that could not be reached from this process, and why: nobody waits for them twice.
_unreachable: dict[str, str] = {}


def download(source: Url, artifact: Artifact, part: Path, progress: Progress) -> None:
    """Downloads to `part`, going on from what is in it.

    That may come from an earlier run or another source, as the content is the same by definition; if it is not,
    the digest tells, and the download starts over once.
    """
    import httpx

    host = urlsplit(source.url).netloc
    if host in _unreachable:
        raise SourceFailed(_unreachable[host])
    if size_of(part) > artifact.size:
        part.unlink()
    resumed = size_of(part) > 0
    check_space(part.parent, artifact.size - size_of(part))
    timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    with httpx.Client(verify=_tls(), timeout=timeout, follow_redirects=True) as client:
        _transfer(client, source.url, artifact, part, progress)
        if resumed and sha256_of(part) != artifact.sha256:
            part.unlink()
            _transfer(client, source.url, artifact, part, progress)


def _transfer(client: "httpx.Client", url: str, artifact: Artifact, part: Path, progress: Progress) -> None:
    """Requests what is missing in `part` until all of it is there."""
    import httpx

    answered, etag, furthest, breaks = False, "", size_of(part), 0
    while (have := size_of(part)) < artifact.size:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            # A weak ETag does not promise equal bytes.
            if etag and not etag.startswith("W/"):
                headers["If-Range"] = etag
        try:
            with client.stream("GET", url, headers=headers) as response:
                answered, etag = True, response.headers.get("ETag", "")
                problem = _receive(response, have, artifact, part, progress)
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
            if not answered and isinstance(error, httpx.NetworkError | httpx.TimeoutException | httpx.ProxyError):
                host = urlsplit(url).netloc
                _unreachable[host] = f"{host} cannot be reached ({problem})"
                raise SourceFailed(_unreachable[host]) from error
        if size_of(part) > furthest:
            furthest, breaks = size_of(part), 0
        if size_of(part) < artifact.size:
            breaks += 1
            if breaks == pinned.TRIES:
                raise SourceFailed(f"broke off at {furthest:,} of {artifact.size:,} bytes ({problem})")
            time.sleep(BACKOFF_SECONDS * 2 ** (breaks - 1))


def _receive(response: "httpx.Response", have: int, artifact: Artifact, part: Path, progress: Progress) -> str:
    """Writes one response to `part`; returns what to blame should bytes be missing after it."""
    status = response.status_code
    if status == 416:
        part.unlink()
    if status in (416, 429) or status >= 500:
        return f"HTTP {status}"
    if status not in (200, 206):
        raise SourceFailed(f"HTTP {status} {response.reason_phrase}")
    start, total = 0, response.headers.get("Content-Length", "*")
    if status == 206:
        # Such as "bytes 500-999/1000", or "*" for the total.
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            raise SourceFailed("answered with another range than the one asked for")
        start, total = have, match[2]
    if total not in ("*", str(artifact.size)):
        raise SourceFailed(f"offers {total} bytes instead of {artifact.size}")
    with part.open("ab" if start else "wb") as file:
        # In the pieces that arrive: with a fixed size, a break would lose what is gathered of the next one.
        for chunk in response.iter_raw():
            if file.tell() + len(chunk) > artifact.size:
                raise SourceFailed(f"sent more than {artifact.size} bytes")
            file.write(chunk)
            progress.at(file.tell())
    return "the connection was closed"


def _tls() -> ssl.SSLContext:
    """What the system trusts (`SSL_CERT_FILE` included), what pip is told to trust, and certifi's list.

    The last because some Pythons come without any; what arrives is checked by its digest anyway.
    """
    import certifi

    context = ssl.create_default_context()
    for file in filter(None, (os.environ.get("PIP_CERT"), certifi.where())):
        with suppress(OSError):
            context.load_verify_locations(file)
    return context
