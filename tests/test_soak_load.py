"""Many clients at once: no errors, bounded answers under overload, memory that does not grow.

``make soak`` measures the figures, over the demo collection where ``TRINE_SOAK_DATA`` names a data
folder that holds it, otherwise over one made here; ``make test`` runs a short sample.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from load_clients import PATIENCE_S, TRINE, Clients, RunningServer, running_server, share_of

COLLECTION = "python-stdlib"
WORDS_OF_QUESTIONS = (
    "read write open close file folder path copy socket server client http request response port "
    "date time clock parse format integer float random mean string pattern unicode encode decode "
    "split join replace search thread lock queue process signal email json table sort heap"
)
SOAK_S = float(os.environ.get("TRINE_SOAK_SECONDS", "600"))
N_CLIENTS = 8
N_OVERLOADING = 64
TIMES_TOO_MANY = 4


def query_of(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS_OF_QUESTIONS.split(), k=chance.randint(2, 5)))


def search(chance: random.Random) -> tuple[str, str, None]:
    return "GET", f"/api/v1/search?q={quote(query_of(chance))}&k=10", None


def anything(chance: random.Random) -> tuple[str, str, str | None]:
    """What people and programs ask for, in about the proportions they do."""
    query = query_of(chance)
    return chance.choices(
        [
            ("GET", f"/api/v1/search?q={quote(query)}&k=10&facets=kind", None),
            ("GET", f"/?q={quote(query)}", None),
            ("GET", f"/api/v1/suggest?q={quote(query[:6])}", None),
            ("POST", "/api/v1/search", json.dumps({"q": query, "k": 3})),
            ("GET", f"/api/v1/documents/soak/{chance.randrange(5)}", None),
            ("GET", "/metrics", None),
        ],
        weights=[10, 4, 4, 4, 2, 1],
    )[0]


@pytest.fixture(scope="module")
def demo_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo collection, or a small one like it, to be written to."""
    data_dir = tmp_path_factory.mktemp("soak") / "data"
    if known := os.environ.get("TRINE_SOAK_DATA"):
        return Path(shutil.copytree(known, data_dir))
    command = [*TRINE, "index", "pydoc:json,email,collections,pathlib,datetime,statistics"]
    command += ["--collection", COLLECTION, "--data-dir", str(data_dir)]
    subprocess.run(command, check=True, capture_output=True)
    return data_dir


def overload(server: RunningServer, *, measured_s: float, n_clients: int) -> Clients:
    """Ask four times as often as answers come, after finding out how often that is."""
    with (calibrating := Clients(server, 4, search, seed=1)).asking():
        time.sleep(measured_s / 2)
    per_second = len(calibrating.exchanges) / (measured_s / 2)
    pause_s = n_clients / (TIMES_TOO_MANY * per_second)
    clients = Clients(server, n_clients, search, pause_s=pause_s, seed=2)
    with clients.asking():
        until = time.monotonic() + measured_s
        while time.monotonic() < until:
            # Those who watch get their answers all the while.
            assert server.get("/api/v1/health/live")[0] == 200
            assert server.get("/metrics")[0] == 200
            time.sleep(0.5)
    print(f"\n{per_second:.1f} a second are answered, {1 / pause_s * n_clients:.0f} are asked")  # noqa: T201
    return clients


def test_a_short_overload_gets_answers_or_503(library_data_dir: Path, tmp_path: Path) -> None:
    with running_server(library_data_dir, tmp_path / "log", "--workers", "2") as server:
        clients = overload(server, measured_s=4.0, n_clients=N_OVERLOADING)
        statuses = Counter(exchange.status for exchange in clients.exchanges)
        assert set(statuses) <= {200, 503}
        assert statuses[200] > 0
        refused = [json.loads(e.told) for e in clients.exchanges if e.status == 503]
        assert {problem["type"] for problem in refused} <= {"/problems/overloaded"}
        told = server.get("/metrics")[1].decode()
        n_rejected = float(told.split("\ntrine_requests_rejected_total ")[1].split()[0])
        assert n_rejected == len(refused)
        assert server.get("/api/v1/search?q=file")[0] == 200
    assert "Traceback" not in (tmp_path / "log").read_text()


def write_some(server: RunningServer, chance: random.Random) -> None:
    doc_id = f"soak/{chance.randrange(50)}"
    text = f"{query_of(chance)}. Written at {time.time()}."
    body = json.dumps({"title": doc_id, "text": text})
    status, told = server.ask("PUT", f"/api/v1/documents/{doc_id}", body)
    # One that is told to come again does.
    assert status in {202, 503}, told


def wait_until_served(server: RunningServer, doc_id: str) -> None:
    """Until every worker has it."""
    until, in_a_row = time.monotonic() + PATIENCE_S, 0
    while in_a_row < 20:
        in_a_row = in_a_row + 1 if server.get(f"/api/v1/documents/{doc_id}")[0] == 200 else 0
        assert time.monotonic() < until


def serve_and_write(
    data_dir: Path, log: Path, seconds: float, tell: Callable[[str], None]
) -> list[tuple[float, dict[str, int]]]:
    """Eight clients and writes going on; returns memory over time."""
    memory = []
    options = ("--collection", COLLECTION, "--workers", "2", "--writable", "--admin")
    with running_server(data_dir, log, *options, forked=False) as server:
        for number in range(5):
            server.ask("PUT", f"/api/v1/documents/soak/{number}", '{"text": "There at first."}')
        status, task = server.ask("PUT", "/api/v1/documents/soak/5?wait=60", '{"text": "Too."}')
        assert status in {200, 202}, task
        wait_until_served(server, "soak/5")
        chance = random.Random(3)  # noqa: S311
        with (clients := Clients(server, N_CLIENTS, anything, pause_s=0.4, retries=5)).asking():
            began = time.monotonic()
            while (now := time.monotonic() - began) < seconds:
                write_some(server, chance)
                if not memory or now - memory[-1][0] >= 2.0:
                    memory.append((now, server.memory()))
                time.sleep(1.0)
        statuses = Counter(exchange.status for exchange in clients.exchanges)
        wrong = [e for e in clients.exchanges if e.status != 200]
        assert wrong == [], wrong[:3]
        took = [exchange.took_s for exchange in clients.exchanges]
        tell(
            f"{dict(statuses)}, {clients.n_told_to_wait} told to wait, "
            f"median {1000 * statistics.median(took):.0f} ms, "
            f"p99 {1000 * share_of(took, 0.99):.0f} ms"
        )
    assert "Traceback" not in log.read_text()
    return memory


@pytest.mark.soak
@pytest.mark.model
def test_memory_stays_flat_while_people_search_and_write(
    demo_data_dir: Path, tmp_path: Path
) -> None:
    memory = serve_and_write(demo_data_dir, tmp_path / "log", SOAK_S, print)
    for now, found in memory[:: max(1, len(memory) // 20)]:
        print(f"{now:5.0f} s", {kind: n // 2**20 for kind, n in found.items()}, "MiB")  # noqa: T201
    # A fifth is warm-up; then the first quarter against the last.
    steady = [found["server"] for now, found in memory if now >= SOAK_S / 5]
    quarter = len(steady) // 4
    first, last = statistics.median(steady[:quarter]), statistics.median(steady[-quarter:])
    print(f"after warm-up {first / 2**20:.0f} MiB, at the end {last / 2**20:.0f} MiB")  # noqa: T201
    assert last <= 1.05 * first


@pytest.mark.soak
@pytest.mark.model
def test_overload_is_answered_in_time_or_not_at_all(demo_data_dir: Path, tmp_path: Path) -> None:
    options = ("--collection", COLLECTION, "--workers", "2")
    with running_server(demo_data_dir, tmp_path / "log", *options, forked=False) as server:
        clients = overload(server, measured_s=30.0, n_clients=N_OVERLOADING)
        ended = time.monotonic()
        after = Clients(server, 1, search, seed=4)
        with after.asking():
            time.sleep(5.0)
        statuses = Counter(exchange.status for exchange in clients.exchanges)
        for status in (200, 503):
            took = [1000 * e.took_s for e in clients.exchanges if e.status == status]
            median, slowest = share_of(took, 0.5), share_of(took, 0.99)
            print(f"{len(took)} x {status}: median {median:.0f} ms, p99 {slowest:.0f} ms")  # noqa: T201
        late = [e.began_s - ended for e in after.exchanges if e.status != 200]
        print(f"recovered after {max(late, default=0.0):.2f} s")  # noqa: T201
        assert set(statuses) <= {200, 503}, [e for e in clients.exchanges if e.status == 0][:3]
        assert share_of([e.took_s for e in clients.exchanges if e.status == 200], 0.99) <= 1.0
        assert after.exchanges[-1].status == 200


@pytest.mark.soak
@pytest.mark.model
def test_what_the_api_adds_to_a_search(demo_data_dir: Path, tmp_path: Path) -> None:
    """Each request's time over loopback, less what ``Searcher.search`` took of it."""
    options = ("--collection", COLLECTION)
    with (
        running_server(demo_data_dir, tmp_path / "log", *options, forked=False) as server,
        server.asked_briefly() as get,
    ):
        chance = random.Random(5)  # noqa: S311
        over_http, in_python = [], []
        for _ in range(400):
            path = search(chance)[1]
            began = time.perf_counter()
            told = get(path)
            over_http.append(1000 * (time.perf_counter() - began))
            in_python.append(json.loads(told)["took_ms"])
    added = [whole - part for whole, part in zip(over_http, in_python, strict=True)]
    print(  # noqa: T201
        f"\nover HTTP {statistics.median(over_http):.2f} ms, Searcher.search "
        f"{statistics.median(in_python):.2f} ms, added {statistics.median(added):.2f} ms (medians)"
    )
    assert statistics.median(added) <= 3.0
