"""Runs whose endpoint misbehaves: what goes wrong, how often, in runs of which kind, and what comes of it.

The runs are real ones, in this process, against the scripted server; an answer takes it 10 ms.
"""

import json
import os
import re
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import fake_openai
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fake_openai import CHAT, HANDSHAKE, MODEL, Asked, Fault, Server, garbage, html, status
from project import Folder

from bibleqa import config, experiment
from bibleqa.errors import BibleQAError

TEST, TRAIN, VAL = 12, 6, 4
PATIENCE = 1.0
TAKES = 0.01

NO_MODEL = json.dumps({"error": {"message": "Model unloaded.", "type": "invalid_request_error"}})


def plain(asked: Asked, answer: str) -> str:
    return answer


def fenced(asked: Asked, answer: str) -> str:
    return f"Sure! Here it is:\n```json\n{json.dumps({'answer': answer})}\n```"


def cut_off(asked: Asked, answer: str) -> str:
    return f"[[ ## answer ## ]]\n{answer[:4]}"


FAULTS: dict[str, Any] = {
    "429 with Retry-After": partial(status, 429, headers={"Retry-After": "1"}),
    "429": partial(status, 429),
    "500": partial(status, 500),
    "502 HTML": partial(Fault, status=502, body="<html>Bad gateway</html>", kind="text/html"),
    "200 with an error object": partial(Fault, body=NO_MODEL),
    "200 garbage": garbage,
    "200 HTML": html,
    "slow beyond timeout": partial(Fault, seconds=1.2),
    "reset": partial(Fault, resets=True),
    "refused": partial(Fault, leaves=0.2),
    "model unloaded": partial(Fault, status=404, body=NO_MODEL),
    "TLS error": partial(Fault, status=525, path=HANDSHAKE),
    "plain string": partial(Fault, words=plain),
    "JSON string": partial(Fault, words=lambda asked, answer: json.dumps(answer)),
    "fenced JSON": partial(Fault, words=fenced),
    "wrong headers": partial(Fault, words=lambda asked, answer: f"## Answer:\n{answer}"),
    "null content": partial(Fault, message={"content": None}),
    "truncated": partial(
        Fault, finish_reason="length", words=lambda asked, answer: f"[[ ## answer ## ]]\n{answer[:4]}"
    ),
}
OF_THE_ENDPOINT = list(FAULTS)[:12]
READABLE = list(FAULTS)[12:16]
"""Strange answers that are answers; what is left over are none, or half of one."""

KINDS: dict[str, list[str]] = {
    "evaluation": ["optimizer=none"],
    "bootstrap": ["optimizer=bootstrap"],
    "mipro": ["optimizer=mipro", "optimizer.budget=null", "optimizer.num_candidates=2", "optimizer.num_trials=3"],
    "better_together": [
        "optimizer=better_together",
        "optimizer.strategy='b -> l'",
        "+optimizer.steps={b: {name: bootstrap}, l: {name: labeled}}",
    ],
}
RATES = (0.05, 0.3, 1.0)


def row(split: str, number: int) -> dict[str, Any]:
    return {
        "id": f"{split}{number}",
        "context": f"[Genesis 5:{number + 1}] And Father-{split}-{number} begat Son-{split}-{number}.",
        "question": f"Who begat Son-{split}-{number}?",
        "answer": f"Father-{split}-{number}",
        "metadata": {"type": "father", "reference": f"Genesis 5:{number + 1}"},
    }


def knows(asked: Asked) -> str:
    """A model that knows every answer but a third of test's and val's; with demos it knows all."""
    time.sleep(TAKES)
    found = re.search(r"Who begat Son-(\w+)-(\d+)\?", asked.question)
    if not found:
        return "Answer the question."  # an instruction, for who asks for one
    demos = any("Son-train" in str(message["content"]) for message in asked.body["messages"][:-1])
    weak = found[1] != "train" and int(found[2]) % 3 == 0
    return "Nobody" if weak and not demos else f"Father-{found[1]}-{found[2]}"


@dataclass(frozen=True)
class Run:
    """How one came out.

    Attributes:
        code: The exit code.
        summary: What is in summary.json.
        answers: By phase and question, what was answered and scored.
        predictions: The lines of predictions.jsonl.
        seconds: From start to end.
        requests: Chat requests that arrived meanwhile, with those of probes.
        paid: How often each request was answered as it should be, without those of probes.
    """

    code: int
    summary: dict[str, Any]
    answers: dict[tuple[str, str], Any]
    predictions: list[dict[str, Any]]
    seconds: float
    requests: int
    paid: Counter[str]


@contextmanager
def project(root: Path, *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A project folder with questions, in which runs are made, and the server that they ask."""
    root.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        lines = [json.dumps(row(split, number)) for number in range(count)]
        (root / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    before = os.environ.get("BIBLEQA_PROJECT"), os.environ.get("OPENAI_API_KEY")
    os.environ.update(BIBLEQA_PROJECT=str(root), OPENAI_API_KEY="sk-none")
    try:
        with fake_openai.running(knows, tls=tls) as server:
            yield server
    finally:
        for name, value in zip(("BIBLEQA_PROJECT", "OPENAI_API_KEY"), before, strict=True):
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run(root: Path, server: Server, kind: str, *overrides: str) -> Run:
    """Make a run of that kind, as `python run.py` makes it."""
    folder = root / "outputs" / "2026-01-01" / f"{time.time_ns()}"
    folder.mkdir(parents=True)
    composed = config.compose(
        [
            "endpoint=openai",
            f"endpoint.base_url={server.base_url}",
            f"endpoint.model={MODEL}",
            "endpoint.threads=4",
            "endpoint.timeout=1",
            f"endpoint.patience={PATIENCE}",
            "dataset=jsonl",
            *(f"dataset.{split}={root / split}.jsonl" for split in ("train", "val", "test")),
            "metric=contains",
            "tracking=none",
            *KINDS[kind],
            *overrides,
        ]
    )
    asked = len(server.requests)
    begun = time.perf_counter()
    code = 0
    try:
        experiment.run(composed, folder)
    except BibleQAError as error:
        code = error.exit_code
    seconds = time.perf_counter() - begun
    (folder / "predictions.jsonl").touch()  # it may be that nothing was answered at all
    made, chats = Folder(folder), [one for one in server.requests[asked:] if one.path == CHAT]
    answered = [one.body for one in chats if not one.struck and one.asked.markup != "plain"]
    paid = Counter(json.dumps(body, sort_keys=True) for body in answered)
    return Run(code, made.summary, made.answers(), made.predictions, seconds, len(chats), paid)


@dataclass(frozen=True)
class Case:
    """What goes wrong, in which share of the requests, in a run of which kind."""

    fault: str
    rate: float
    kind: str

    def __str__(self) -> str:
        return f"{self.fault}, {self.rate:.0%}, {self.kind}"

    def strike(self, server: Server) -> None:
        """Let it go wrong from now on, but for the probe that a run begins with."""
        if self.fault in OF_THE_ENDPOINT:
            spared = 2 if self.fault == "TLS error" else 1  # the list of models as well
            server.faults = [FAULTS[self.fault](rate=self.rate, spares=spared)]
        else:
            server.faults = [FAULTS[self.fault](rate=self.rate, asked="Who begat")]


@dataclass(frozen=True)
class Came:
    """What came of a case: the run that it struck, and the same command afterwards where that one stopped.

    Attributes:
        first: The run that was struck.
        then: The same command when nothing goes wrong any more; None where the first has finished.
        lost: Answers that were paid for and are asked for again.
        wrong: Errors that were scored as if they were answers.
        unequal: Answers, in the end, other than those of the undisturbed run.
    """

    first: Run
    then: Run | None
    lost: int
    wrong: int
    unequal: int

    @property
    def last(self) -> Run:
        """The one that finished, if any did."""
        return self.then or self.first

    @property
    def what(self) -> str:
        """What happened."""
        codes = {1: "failed", 3: "stopped"}
        if self.then is None:
            return "finished"
        return f"{codes[self.first.code]}, then {codes.get(self.then.code, 'finished')}"


def happens(case: Case, root: Path, tls: ssl.SSLContext | None, undisturbed: Run) -> Came:
    """Make the runs of a case."""
    with project(root, tls=tls if case.fault == "TLS error" else None) as server:
        case.strike(server)
        first = run(root, server, case.kind)
        server.faults = []
        while server.away:
            time.sleep(0.01)
        then = run(root, server, case.kind) if first.code else None
    paid = first.paid + (then.paid if then else Counter())
    scored = {(line["phase"], line["id"]) for line in first.predictions if line["score"] is not None}
    wrong = [key for key in scored if first.answers[key] != undisturbed.answers[key]]
    last = then or first
    unequal = [key for key, answer in undisturbed.answers.items() if last.answers.get(key) != answer]
    return Came(
        first,
        then,
        sum(count - 1 for count in paid.values()),
        len(wrong) if case.fault in OF_THE_ENDPOINT else 0,
        len(unequal),
    )


@contextmanager
def certified(folder: Path) -> Iterator[ssl.SSLContext]:
    """What a server speaks TLS by, with a certificate that this process trusts meanwhile."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "localhost.pem"
    folder.mkdir(parents=True, exist_ok=True)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(pem)
    try:
        yield context
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before
