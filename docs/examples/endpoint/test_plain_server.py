import httpx
from plain_server import DIALECT

from bibleqa.lm.dialects import Served


def listing(path: str) -> httpx.Response:
    assert path == "models"
    return httpx.Response(200, json={"data": [{"id": "small"}, {"id": "large", "status": "waiting"}]})


def test_it_says_which_models_there_are_and_which_of_them_are_loaded() -> None:
    assert DIALECT.models(listing) == [Served("small", loaded=True), Served("large", loaded=False)]


def test_a_model_that_it_has_not_is_named_with_what_to_do() -> None:
    said = DIALECT.complaint("huge", DIALECT.models(listing))
    assert said == (
        "the plain server lists no huge; it has small (loaded), large: "
        "endpoint.model=small, or add huge to its models.toml"
    )


def test_it_is_never_sent_a_schema() -> None:
    assert "json_schema" not in DIALECT.formats
