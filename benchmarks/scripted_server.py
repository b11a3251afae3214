"""An OpenAI-compatible server that answers every chat request alike after a while, and costs next to no CPU.

    python benchmarks/scripted_server.py 0.05

prints its address. `tests/fake_openai.py` has a thread for each connection: beside it a fast client would wait.
"""

import asyncio
import json
import sys
from contextlib import suppress

MODEL = "scripted"
ANSWER = "Seth"
_TEXT = f"[[ ## answer ## ]]\n{ANSWER}\n\n[[ ## completed ## ]]"


def _sent(content: dict[str, object]) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


_MODELS = _sent({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
_REPLY = _sent(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 8, "total_tokens": 208},
    }
)


class _Connection(asyncio.Protocol):
    """Reads no more of a request than where it ends."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head := self._received.find(b"\r\n\r\n") + 4) > 3:
            end = head + _length(self._received[:head])
            if len(self._received) < end:
                return
            if self._received.startswith(b"GET"):
                self._transport.write(_MODELS)
            else:
                asyncio.get_running_loop().call_later(self._seconds, self._transport.write, _REPLY)
            self._received = self._received[end:]


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def _serve(seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(seconds), "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(float(sys.argv[1])))
