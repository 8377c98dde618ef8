"""The server alone: whom it answers, what it bounds, what it says of bad requests, and several clients at once."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from explorer.conftest import asking
from vaekit.errors import UserError
from vaekit.explorer.guard import MOST_BODY, POLICY, Bucket
from vaekit.explorer.server import Explorer, listen
from vaekit.explorer.session import Session

JSON = {"content-type": "application/json"}
RAW = {"content-type": "application/octet-stream"}


@pytest.fixture
def client(served: Explorer):
    with asking(served) as made:
        yield made


def refused(answer: httpx.Response, status: int) -> str:
    """Return the one sentence of a refusal."""
    assert answer.status_code == status, answer.text
    reason = answer.json()["error"]
    assert reason and "\n" not in reason and "Traceback" not in reason
    return reason


# -- whom it answers --------------------------------------------------------------------------------------------------


def test_listens_on_loopback_only(served: Explorer) -> None:
    assert {one.getsockname()[0] for one in served.sockets} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}"])
def test_another_host_is_refused(client: httpx.Client, served: Explorer, host: str) -> None:
    answer = client.get("/api/facts", headers={"host": host.format(port=served.port)})
    assert "own address" in refused(answer, 421)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_its_own_names_are_answered(client: httpx.Client, served: Explorer, host: str) -> None:
    assert client.get("/api/facts", headers={"host": host.format(port=served.port)}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
def test_another_origin_is_refused(client: httpx.Client, served: Explorer, origin: str) -> None:
    headers = JSON | {"origin": origin.format(port=served.port)}
    assert "own page" in refused(client.post("/api/decode", content="{}", headers=headers), 403)


def test_its_own_origin_is_answered(client: httpx.Client, served: Explorer) -> None:
    headers = {"origin": served.home.rstrip("/"), "sec-fetch-site": "same-origin"}
    answer = client.post("/api/decode", json={"z": [[0.0] * 6]}, headers=headers)
    assert answer.status_code == 200


def test_another_site_may_open_the_page_but_not_embed_or_read_it(client: httpx.Client) -> None:
    there = {"sec-fetch-site": "cross-site"}
    assert client.get("/", headers=there | {"sec-fetch-mode": "navigate"}).status_code == 200
    refused(client.get("/", headers=there | {"sec-fetch-mode": "no-cors"}), 403)
    refused(client.get("/api/thumb?i=0", headers=there | {"sec-fetch-mode": "navigate"}), 403)


def test_a_form_of_another_site_is_refused(client: httpx.Client) -> None:
    """Types that a form may send without asking first are not taken."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        refused(client.post("/api/decode", content=b'{"z": [[0,0,0,0,0,0]]}', headers={"content-type": kind}), 415)


@pytest.mark.parametrize("path", ["/", "/api/facts", "/static/main.js", "/nowhere", "/static/../app.py"])
def test_every_answer_has_the_headers(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY


def test_files_outside_the_page_are_not_served(client: httpx.Client) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"):
        assert client.get(path).status_code in (404, 405)


def test_small_answers_are_not_held_back(client: httpx.Client) -> None:
    """Nagle's algorithm with delayed acknowledgements would hold every answer for 40 ms."""
    times = []
    for _ in range(80):
        start = time.perf_counter()
        client.post("/api/decode", json={"z": [ROW]})
        times.append(time.perf_counter() - start)
    assert min(times[40:]) < 0.03  # the first few packets of a connection are acknowledged at once


# -- the token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/facts", "/api/thumb?i=0", "/static/main.js", "/nowhere"])
def test_nothing_is_answered_without_the_token(served: Explorer, path: str) -> None:
    wrong = served.token[:-1] + ("A" if served.token[-1] != "A" else "B")
    for headers in ({}, {"cookie": f"vaekit-{served.port}={wrong}"}, {"authorization": f"Bearer {wrong}"}):
        answer = httpx.get(served.home.rstrip("/") + path, headers=headers)
        assert "vaekit explore" in refused(answer, 403) and "set-cookie" not in answer.headers
    refused(httpx.get(served.home.rstrip("/") + path, params={"token": wrong}), 403)
    refused(httpx.post(f"{served.home}api/decode", json={"z": [ROW]}), 403)


def test_the_announced_address_opens_the_page_and_gives_it_the_cookie(served: Explorer) -> None:
    with httpx.Client(verify=False) as browser:
        page = browser.get(served.url)
        assert page.status_code == 200 and "<title>" in page.text
        cookie = page.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and served.token not in page.text
        assert browser.get(f"{served.home}api/facts").status_code == 200
        assert "set-cookie" not in browser.get(served.home).headers
    refused(httpx.get(f"{served.home}api/facts", params={"token": served.token}), 403)


def test_each_start_has_a_token_of_its_own(digits: Any, served: Explorer) -> None:
    other = Explorer(Session(digits))
    assert other.token != served.token and len(other.token) >= 32
    for one in other.sockets:
        one.close()


def test_strangers_do_not_use_up_the_rate(digits: Any) -> None:
    explorer = Explorer(Session(digits), rate=0.1, burst=3.0).start()
    try:
        assert {httpx.get(explorer.home).status_code for _ in range(20)} == {403}
        with asking(explorer) as client:
            assert client.get("/api/facts").status_code == 200
    finally:
        explorer.stop()


def test_the_browser_is_started_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users see the words that a program is started with."""
    from vaekit.explorer import server

    opened: list[tuple[str, int, str]] = []

    def look(address: str) -> None:
        path = Path(address.removeprefix("file://"))
        opened.append((address, path.stat().st_mode & 0o777, path.read_text()))

    monkeypatch.setattr(server.webbrowser, "open", look)
    monkeypatch.setattr(server.time, "sleep", lambda seconds: None)
    server.open_page("http://127.0.0.1:1/?token=secret")
    ((address, mode, text),) = opened
    assert "secret" not in address and mode == 0o600 and "url=http://127.0.0.1:1/?token=secret" in text
    assert not Path(address.removeprefix("file://")).exists()


# -- connections ------------------------------------------------------------------------------------------------------


def closed(connection: socket.socket, seconds: float) -> bool:
    """Return whether the server closes a connection in time."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


@pytest.fixture
def impatient(digits: Any):
    explorer = Explorer(Session(digits), wait=0.5).start()
    yield explorer
    explorer.stop()


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nhost: x\r\n", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx"],
)
def test_a_request_that_does_not_arrive_ends_its_connection(impatient: Explorer, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(begun)
        connection.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(4096):  # a refusal may come before the rest of the request
                pass


def test_a_connection_that_is_used_stays(impatient: Explorer) -> None:
    with asking(impatient) as client:
        for _ in range(3):
            assert client.get("/api/facts").status_code == 200
            time.sleep(0.7)
        assert client.get("/api/facts").extensions["network_stream"] is not None
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        head = f"GET /api/facts HTTP/1.1\r\nhost: 127.0.0.1:{impatient.port}\r\nauthorization: Bearer {impatient.token}"
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        connection.recv(1 << 16)
        assert not closed(connection, 1.2)


def test_strangers_leave_room_for_the_page(digits: Any) -> None:
    explorer = Explorer(Session(digits), wait=30.0).start()
    held: list[socket.socket] = []
    try:
        with asking(explorer) as before:
            assert before.get("/api/facts").status_code == 200
            for _ in range(600):
                held.append(socket.create_connection(("127.0.0.1", explorer.port)))
            time.sleep(0.5)
            assert closed(held[0], 5) and not closed(held[-1], 0.2)
            assert before.get("/api/facts").status_code == 200
            with asking(explorer) as client:
                assert client.get("/api/facts").status_code == 200
    finally:
        for one in held:
            one.close()
        explorer.stop()


def test_a_websocket_gets_an_answer_without_advice(
    served: Explorer, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    assert client.get("/api/facts", headers=upgrade).status_code == 200
    refused(httpx.get(served.home, headers=upgrade), 403)
    assert [record.message for record in caplog.records if record.name.startswith("uvicorn")] == []


# -- what it bounds ---------------------------------------------------------------------------------------------------


def test_a_bucket_refills_at_its_rate() -> None:
    now = [0.0]
    bucket = Bucket(rate=2.0, burst=3.0, now=lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] = 1.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] = 100.0
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_too_many_requests_are_refused_and_then_answered_again(digits: Any) -> None:
    explorer = Explorer(Session(digits), rate=3.0, burst=5.0).start()
    try:
        with asking(explorer) as client:
            codes = [client.get("/api/facts").status_code for _ in range(12)]
            assert codes[:5] == [200] * 5 and 429 in codes
            assert "wait" in refused(next(a for _ in range(99) if (a := client.get("/")).status_code == 429), 429)
            time.sleep(1.0)
            assert client.get("/api/facts").status_code == 200
    finally:
        explorer.stop()


def test_uploads_have_a_rate_of_their_own(digits: Any) -> None:
    explorer = Explorer(Session(digits)).start()
    try:
        with asking(explorer) as client:
            codes = [client.post("/api/infer/file", content=b"no", headers=RAW).status_code for _ in range(40)]
            assert codes[:30] == [400] * 30 and codes[-1] == 429
            assert client.get("/api/facts").status_code == 200
    finally:
        explorer.stop()


def test_a_large_body_is_refused_by_its_announced_length(client: httpx.Client) -> None:
    assert "8 MiB" in refused(client.post("/api/infer/file", content=b"x" * (MOST_BODY + 1), headers=RAW), 413)


def test_a_large_body_without_a_length_is_refused_too(client: httpx.Client) -> None:
    parts = (b"x" * (1 << 20) for _ in range(10))
    # The server may have closed the connection before the rest was sent.
    with contextlib.suppress(httpx.WriteError):
        assert "8 MiB" in refused(client.post("/api/infer/file", content=parts, headers=RAW), 413)


# -- bad requests -----------------------------------------------------------------------------------------------------

ROW = [0.0] * 6


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("decode", "not json", "JSON"),
        ("decode", b"\xff\xfe", "JSON"),
        ("decode", "[" * 100_000, "JSON"),
        ("decode", "[]", "object"),
        ("decode", "{}", "rows"),
        ("decode", '{"z": []}', "rows"),
        ("decode", '{"z": [[NaN, 0, 0, 0, 0, 0]]}', "NaN"),
        ("decode", '{"z": [[Infinity, 0, 0, 0, 0, 0]]}', "Infinity"),
        ("decode", '{"z": [[1e999, 0, 0, 0, 0, 0]]}', "finite"),
        ("decode", '{"z": [[1e30, 0, 0, 0, 0, 0]]}', "million"),
        ("decode", '{"z": [[' + "9" * 400 + ", 0, 0, 0, 0, 0]]}", "numbers"),
        ("decode", '{"z": [[' + "9" * 5000 + ", 0, 0, 0, 0, 0]]}", ""),
        ("decode", {"z": [[0.0] * 5]}, "6 numbers"),
        ("decode", {"z": [ROW, [0.0] * 5]}, "6 numbers"),
        ("decode", {"z": [["a"] * 6]}, "numbers"),
        ("decode", {"z": [[None] * 6]}, "numbers"),
        ("decode", {"z": [[[0.0]] * 6]}, "numbers"),
        ("decode", {"z": [ROW] * 129}, "128"),
        ("decode", {"z": [ROW], "label": "x"}, "label"),
        ("decode", {"z": [ROW], "label": True}, "label"),
        ("random", {}, "seed"),
        ("random", {"seed": 1.5}, "seed"),
        ("path", {"a": ROW, "b": ROW, "steps": 9, "kind": "round"}, "kind"),
        ("path", {"a": ROW, "b": [0.0], "steps": 9}, "numbers"),
        ("path", {"a": ROW, "b": ROW, "steps": 100_000}, "steps"),
        ("path", {"a": ROW, "steps": 3}, "numbers"),
        ("combine", {"a": ROW, "b": ROW}, "numbers"),
        ("traverse", {"z": ROW, "dimension": 6, "values": [0.0]}, "dimension"),
        ("traverse", {"z": ROW, "dimension": 0, "values": []}, "values"),
        ("traverse", {"z": ROW, "dimension": 0, "values": ["a"]}, "values"),
        ("lift", {"at": [0.0]}, "two numbers"),
        ("lift", {"at": [0.0, "a"]}, "two numbers"),
        ("infer", {"index": -1}, "index"),
        ("infer", {"index": 10**6}, "no example"),
        ("save", {"z": []}, "rows"),
    ],
)
def test_a_bad_request_gets_one_sentence(client: httpx.Client, path: str, body: Any, word: str) -> None:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    assert word in refused(client.post(f"/api/{path}", content=content, headers=JSON), 400)


@pytest.mark.parametrize("query", ["", "?i=", "?i=-1", "?i=1e3", "?i=99999999999999", "?i=²", "?i=5000"])
def test_a_bad_number_of_an_example(client: httpx.Client, query: str) -> None:
    refused(client.get(f"/api/thumb{query}"), 400)


def test_a_drawing_of_the_wrong_size(client: httpx.Client) -> None:
    assert "8 × 8" in refused(client.post("/api/infer/pixels", content=b"\0" * 65, headers=RAW), 400)


def test_a_pickle_is_refused_unread(client: httpx.Client, tmp_path: Path) -> None:
    stamp = tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (stamp,))

    out = io.BytesIO()
    np.save(out, np.array([Bomb()], dtype=object), allow_pickle=True)
    assert "numbers" in refused(client.post("/api/infer/file", content=out.getvalue(), headers=RAW), 400)
    assert not stamp.exists()


# -- what it answers --------------------------------------------------------------------------------------------------


def test_decoding_equals_the_model(client: httpx.Client, digits: Any) -> None:
    import torch

    z = torch.randn(3, 6)
    answer = client.post("/api/decode", json={"z": z.tolist()})
    with torch.no_grad():
        expected = (digits.model.decode(z).mean * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(np.frombuffer(answer.content, np.uint8).reshape(3, 1, 8, 8), expected)


def test_the_map_comes_with_all_examples_and_their_labels(client: httpx.Client, digits: Any) -> None:
    until = time.monotonic() + 20
    while (answer := client.get("/api/map")).status_code == 202 and time.monotonic() < until:
        time.sleep(0.05)
    n = int(answer.headers["x-count"])
    assert n == 1797
    labels = np.frombuffer(answer.content, "<i2", offset=8 * n)
    assert labels[:174].tolist() == digits.test.y.tolist()
    points = np.frombuffer(answer.content, "<f4", 2 * n).reshape(n, 2)
    plane = client.get("/api/plane").json()
    z = np.array(client.get("/api/example?i=5").json()["z"])
    assert np.allclose((z - plane["centre"]) @ np.array(plane["axes"]).T, points[5], atol=1e-4)


def test_a_saved_file_holds_the_codes_and_the_decoded_numbers(client: httpx.Client) -> None:
    answer = client.post("/api/save", json={"z": [ROW]})
    found = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert found["z"].shape == (1, 6) and found["x"].shape == (1, 1, 8, 8)


def test_several_clients_at_once(served: Explorer) -> None:
    """Each gets the answer to its own question, also while files are read."""
    alone: dict[int, bytes] = {}

    def ask(i: int) -> bytes:
        with asking(served) as client:
            got = b""
            for _ in range(4):
                got = client.post("/api/decode", json={"z": [[i / 4] * 6]}).content
                client.post("/api/infer", json={"index": i}).raise_for_status()
            return got

    for i in range(8):
        alone[i] = ask(i)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [alone[i] for i in range(8)]
    assert len(set(alone.values())) == 8


# -- the command ------------------------------------------------------------------------------------------------------


def test_an_occupied_port_is_told() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with pytest.raises(UserError, match=f"port {port} is in use.*--port"):
        listen(port)
    taken.close()
    with pytest.raises(UserError, match="65535"):
        listen(70_000)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekit.explorer.server import require_web

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"vaekit\[web\]"):
        require_web()


@pytest.mark.slow
def test_the_command_prints_its_address_and_ends_on_interrupt(tmp_path: Path) -> None:
    import vaekit

    run = tmp_path / "run"
    vaekit.train("vae", "digits", epochs=1, out=run, set={"model.latent": 2, "model.hidden": [16]}, pictures=False)
    command = [sys.executable, "-m", "vaekit", "explore", str(run), "--no-browser", "--port"]
    process = subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(url).status_code == 200
        port = url.partition("/?")[0].rsplit(":", 1)[1]
        second = subprocess.run([*command, port], capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 2 and second.stderr.count("\n") == 1 and "in use" in second.stderr
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in errors and "ended" in errors
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_the_command_tells_of_a_folder_that_is_no_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vaekit", "explore", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "not a run folder" in done.stderr and done.stderr.count("\n") == 1
