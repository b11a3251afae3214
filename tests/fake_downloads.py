"""A real HTTP server on this machine that serves bytes, with the faults that a test asks for."""

import re
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What one path answers, and what was asked of it.

    Attributes:
        content: The whole file.
        status: Answer this instead of the file, when it is not 200.
        ranges: Whether Range is understood.
        breaks: One a request, while there are any: the connection is cut after so many bytes of the body.
        becomes: The content after the first break, for a file that is replaced meanwhile.
        seconds: How long the body takes.
        declares: Whether Content-Length is sent.
        sent: Bytes of the body of every request so far, in order.
        asked: Its Range headers.
    """

    content: bytes = b""
    status: int = 200
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)
    becomes: bytes | None = None
    seconds: float = 0.0
    declares: bool = True
    sent: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)


class Downloads:
    def __init__(self, port: int):
        self.base = f"http://127.0.0.1:{port}"
        self.paths: dict[str, Served] = {}

    def serve(self, path: str, served: Served) -> str:
        self.paths[path] = served
        return self.base + path


@contextmanager
def running() -> Iterator[Downloads]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served = downloads.paths.get(self.path, Served(status=404))
            wanted = self.headers.get("Range")
            served.asked.append(wanted)
            if served.status != 200:
                served.sent.append(0)
                self.send_error(served.status)
                return
            start = 0
            etag = f'"{zlib.crc32(served.content)}"'
            if wanted and served.ranges and self.headers.get("If-Range", etag) == etag:
                match = re.fullmatch(r"bytes=(\d+)-", wanted)
                assert match
                start = int(match[1])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}")
            else:
                self.send_response(200)
            body = served.content[start:]
            if served.declares:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", etag)
            self.end_headers()
            if served.breaks:
                body = body[: served.breaks.pop(0)]
                served.content = served.becomes or served.content
            served.sent.append(0)
            pieces = 20 if served.seconds else 1
            step = -(-len(body) // pieces) or 1
            try:
                for at in range(0, len(body), step):
                    # Counted first: the client may be done with it before this thread goes on.
                    served.sent[-1] += len(body[at : at + step])
                    self.wfile.write(body[at : at + step])
                    time.sleep(served.seconds / pieces)
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    downloads = Downloads(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield downloads
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
