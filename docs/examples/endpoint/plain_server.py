"""A kind of endpoint: an OpenAI-compatible server that takes no `response_format` and says what it has loaded."""

import httpx

from bibleqa.lm.dialects import Dialect, Read, Served


def _models(read: Read) -> list[Served]:
    reply: httpx.Response = read("models")  # relative to endpoint.base_url
    return [Served(row["id"], loaded=row.get("status", "ready") == "ready") for row in reply.json()["data"]]


DIALECT = Dialect(
    name="the plain server",
    preset="openai",  # how requests are written: lm15's preset of the server that it is most like
    formats=frozenset({"text"}),  # JSON is then asked for in the prompt alone
    start="start it with `plain-server --port 9000`",
    get="add {model} to its models.toml",
    models=_models,
)
