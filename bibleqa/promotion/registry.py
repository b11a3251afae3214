"""The promoted program in MLflow's model registry, where `mlflow models serve` finds it."""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bibleqa import tracking
from bibleqa.schema import TrackingConfig

NAME = "bibleqa"
ALIAS = "champion"

_CODE = Path(__file__).parent.parent / "serve" / "mlflow_model.py"
_REQUIRED = ("dspy", "mlflow", "hydra-core")


def register(folder: Path, card: Mapping[str, Any], config: TrackingConfig) -> str | None:
    """Give a promoted program the alias, as a new version where the registry does not have it yet.

    Args:
        folder: Of the program.
        card: Its card.
        config: The tracker of its run.

    Returns:
        The version, or None where nothing is tracked.

    Raises:
        TrackerDown: MLflow did not take it.
    """
    if tracking.uri(config) is None:
        return None
    digest = hashlib.sha256(json.dumps(card["files"], sort_keys=True).encode()).hexdigest()
    with tracking.connected(config) as (client, experiment):
        known = client.search_model_versions(f"name = '{NAME}' and tag.digest = '{digest}'")
        version = known[0].version if known else _add(client, experiment, folder, card, digest)
        client.set_registered_model_alias(NAME, ALIAS, version)
    return str(version)


def _add(client: Any, experiment: str, folder: Path, card: Mapping[str, Any], digest: str) -> str:
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME, description="Programs promoted by `bibleqa promote`.")
    tags = {"digest": digest, "name": card["name"], "fingerprint": card["run"]["fingerprint"]}
    # By hand what `log_model` does: it would set the tracker of the whole process.
    model = client.create_logged_model(experiment, card["name"], tags=tags)
    with tempfile.TemporaryDirectory() as place:
        _save(Path(place) / "model", folder, card)
        client.log_model_artifacts(model.model_id, str(Path(place) / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    made = client.create_model_version(
        NAME,
        source=model.artifact_location,
        tags=tags,
        description=(folder / "card.md").read_text(encoding="utf-8")[:5000],
        # A server wants to know whose files they are; a store in this process would look it up in another one.
        model_id=None if client.tracking_uri.startswith("sqlite:") else model.model_id,
    )
    return str(made.version)


def _save(place: Path, folder: Path, card: Mapping[str, Any]) -> None:
    """Write an MLflow model that is code and files, with nothing pickled."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    asked: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "question"),
        ColSpec(DataType.string, "context", required=False),
        # Of a table in which some rows have a history, the others have NaN there, which an Array does not take.
        ColSpec(AnyType(), "history", required=False),
    ]
    with warnings.catch_warnings():
        # It would have the model answer an example, which costs, only to see what the signature says already.
        warnings.filterwarnings("ignore", message="(?s).*input example", category=UserWarning)
        pyfunc.save_model(
            place,
            python_model=str(_CODE),
            artifacts={"program": str(folder)},
            signature=ModelSignature(Schema(asked), Schema([ColSpec(DataType.string, "answer", required=False)])),
            pip_requirements=[f"{name}=={card['versions'][name]}" for name in _REQUIRED if name in card["versions"]],
        )
