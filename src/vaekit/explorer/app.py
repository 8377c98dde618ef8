"""The explorer's answers: JSON and raw bytes over HTTP. Numbers are checked here; the work is the session's."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from torch import Tensor

from vaekit.errors import UserError
from vaekit.explorer.colours import colour, names
from vaekit.explorer.graphs import NodeSession, session_of
from vaekit.explorer.guard import MOST_BODY, Bucket
from vaekit.explorer.labels import Label
from vaekit.explorer.live import ASKS, Live
from vaekit.explorer.session import LIVE_POINTS, Session
from vaekit.explorer.sound import heard, read_sound
from vaekit.explorer.uploads import read_upload
from vaekit.figures.molecules import svg
from vaekit.latents.arithmetic import combine
from vaekit.latents.interpolate import interpolate
from vaekit.latents.traverse import traverse
from vaekit.latents.umap import NO_UMAP, has_umap, umap_apart

STATIC = Path(__file__).parent / "static"
MOST_TEXT = 10_000
"""Letters of a line that a person types."""
MOST_TEMPERATURE = 5
"""Of sampled text."""
MOST_SMILES = 1000
"""Letters of a molecule that is drawn."""
MOST_PLACED = 10_000
"""Examples that UMAP places, the first of the map."""
MOST_MEANT = 200
"""Examples whose mean code is taken."""
MOST_ROWS = 128
"""Codes decoded in one request."""


class Refused(HTTPException):
    """An answer with a status other than 200 and 400, and a sentence for the person."""


class Api:
    """The routes over one run. Decoding has threads of its own, so that nothing slow delays a slider."""

    def __init__(self, session: Session, live: Live | None = None) -> None:
        self.x, self.live, self.version = session, live, 0
        quiet = {"initializer": torch.set_num_threads, "initargs": (1,)}
        self._quick = ThreadPoolExecutor(2, "decode", **quiet)
        self._slow = ThreadPoolExecutor(3, "study", **quiet)
        self._map: Any = None
        self._placed: tuple[Any, Any] = (None, None)  # a map, and its UMAP
        self._ended = threading.Event()
        self._uploads = Bucket(rate=5.0, burst=30.0)

    def start(self) -> None:
        """Begin with what takes long: the scores, then the map."""
        if self.x.problem is None:
            self._slow.submit(self.x.scores)
            self._map = self._slow.submit(self.x.latent_map)
        if self.live is not None:
            threading.Thread(target=self._follow, args=(self.live,), daemon=True).start()

    def _follow(self, live: Live) -> None:
        """Take over each new checkpoint of a run in training: its session and its map, whole."""
        torch.set_num_threads(1)
        while not self._ended.wait(0.5):
            with suppress(UserError):  # a checkpoint that does not fit any more; the next one is looked at again
                run = live.news()
                if run is not None:
                    session = session_of(run, LIVE_POINTS)
                    made: Future[Any] = Future()
                    if session.problem is None:
                        made.set_result(session.latent_map())
                    self.x, self._map = session, None if session.problem is not None else made
                    self.version += 1

    def stop(self) -> None:
        """Let the threads end."""
        self._ended.set()
        self.x.stop()
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._slow.shutdown(wait=False, cancel_futures=True)

    def routes(self) -> list[Route]:
        """Return every path with its answer."""
        get = (self.facts, self.map, self.plane, self.scores, self.example, self.thumb, self.training, self.colour)
        get += (self.links, self.node, self.heard, self.molecule, self.umap)
        post = (self.decode, self.random, self.path, self.combine, self.traverse, self.lift, self.save, self.sound)
        post += (self.ask, self.mean, self.infer, self.infer_pixels, self.infer_file, self.infer_text)
        return [
            Route(f"/api/{call.__name__.replace('_', '/')}", call, methods=[method])
            for method, calls in (("GET", get), ("POST", post))
            for call in calls
        ]

    # -- what there is ----------------------------------------------------------------------------------------------

    async def facts(self, request: Request) -> Response:
        """What the run is."""
        return JSONResponse(
            self.x.facts
            | {"live": self.live is not None, "colours": names(self.x), "no_umap": None if has_umap() else NO_UMAP}
        )

    async def training(self, request: Request) -> Response:
        """What is said of the training, with the lines of its log from `i` on, and which weights are shown."""
        live = self._watched()
        state = await self._run(self._slow, live.state, _query(request, "i", "a line of the log"))
        return JSONResponse(state | {"version": self.version})

    async def ask(self, request: Request) -> Response:
        """Ask something of the training: pause, go on, stop, a lower learning rate, a lower β."""
        asked = (await _json(request)).get("what")
        if asked not in ASKS:
            raise UserError(f"what is asked is one of {', '.join(ASKS)}")
        await self._run(self._slow, self._watched().ask, *ASKS[asked])
        return JSONResponse({"asked": asked})

    def _watched(self) -> Live:
        if self.live is None:
            raise UserError("this run is not in training")
        return self.live

    async def map(self, request: Request) -> Response:
        """The points: float32 (N, 2), then int16 labels if x-labels is 1; 202 with the progress until they are made."""
        if self._map is None:
            raise UserError(f"the training data were not found: {self.x.problem}")
        if not self._map.done():
            done, total = self.x.progress
            return JSONResponse({"done": done, "total": total}, status_code=202)
        made = self._map.result()
        return _points(made.points, made.labels)

    async def umap(self, request: Request) -> Response:
        """The same of the first examples, placed by UMAP; the first request begins with it."""
        made, n = self._made(), MOST_PLACED
        if not has_umap():
            raise UserError(NO_UMAP)
        if self._placed[0] is not made:
            self._placed = made, self._slow.submit(umap_apart, made.codes[:n], self.x.check_stop)
        if not self._placed[1].done():
            return JSONResponse({}, status_code=202)
        return _points(self._placed[1].result(), None if made.labels is None else made.labels[:n])

    async def plane(self, request: Request) -> Response:
        """The map's plane in latent space."""
        plane = self._made().plane
        return JSONResponse({"centre": plane.centre.tolist(), "axes": plane.axes.tolist(), "share": plane.share})

    def _made(self) -> Any:
        if self._map is None or not self._map.done():
            raise UserError("the map is not made yet")
        return self._map.result()

    async def links(self, request: Request) -> Response:
        """The edges of the run's one graph, and the pairs that the model would join."""
        return JSONResponse(await self._run(self._slow, self._nodes().links))

    async def node(self, request: Request) -> Response:
        """A node's links, known and predicted."""
        return JSONResponse(await self._run(self._quick, self._nodes().node, _query(request, "i", "a node")))

    def _nodes(self) -> NodeSession:
        if not isinstance(self.x, NodeSession):
            raise UserError("this run's data are not one graph, so there are no nodes")
        return self.x

    async def scores(self, request: Request) -> Response:
        """The histogram of the test examples' anomaly scores."""
        return JSONResponse(await self._run(self._slow, self.x.scores))

    async def colour(self, request: Request) -> Response:
        """A number for each point of the map, float32 (N,), NaN where it is missing; its least and greatest as text."""
        self._made()
        name = request.query_params.get("by", "")
        values, low, high = await self._run(self._slow, colour, self.x, name)
        headers = {"x-low": quote(low), "x-high": quote(high)}
        return Response(values.astype("<f4").tobytes(), media_type=_RAW, headers=headers)

    async def mean(self, request: Request) -> Response:
        """The mean of some examples' codes."""
        indices = (await _json(request)).get("indices")
        if not isinstance(indices, list) or not 0 < len(indices) <= MOST_MEANT:
            raise UserError(f"indices must be 1 to {MOST_MEANT} numbers of examples")
        chosen = [_whole({"i": one}, "i", 0, 2**31) for one in indices]
        return JSONResponse({"z": await self._run(self._slow, self.x.mean_code, chosen)})

    # -- codes ------------------------------------------------------------------------------------------------------

    async def decode(self, request: Request) -> Response:
        """Codes in, pictures (uint8), rows (float32) or a JSON list of texts out, raw; texts at a temperature."""
        asked = await _json(request)
        z, label, sampled = self._rows(asked), _label(asked), self._sampled(asked)
        out = await self._run(self._quick, sampled or self.x.decode, z, label)
        return Response(_bytes(out), media_type=_RAW)

    def _sampled(self, asked: dict[str, Any]) -> Callable[[Tensor, Label], np.ndarray] | None:
        """Return how codes are drawn from, where a temperature above 0 is asked for."""
        temperature = asked.get("temperature", 0)
        if not _is_number(temperature) or not 0 <= temperature <= MOST_TEMPERATURE:
            raise UserError(f"temperature must be a number from 0 to {MOST_TEMPERATURE}")
        seed = _whole(asked, "seed", 0, 2**53) if temperature else 0
        return (lambda z, label: self.x.sampled(z, label, temperature, seed)) if temperature else None

    async def random(self, request: Request) -> Response:
        """A code from the prior."""
        asked = await _json(request)
        seed = _whole(asked, "seed", 0, 2**53)
        return JSONResponse({"z": await self._run(self._quick, self.x.random, _label(asked), seed)})

    async def path(self, request: Request) -> Response:
        """Codes on the way from a to b."""
        asked = await _json(request)
        kind = asked.get("kind", "linear")
        if kind not in ("linear", "spherical"):
            raise UserError("kind must be 'linear' or 'spherical'")
        z = interpolate(self._one(asked, "a"), self._one(asked, "b"), _whole(asked, "steps", 2, MOST_ROWS), kind)
        return JSONResponse({"z": z.tolist()})

    async def combine(self, request: Request) -> Response:
        """The code a - b + c."""
        asked = await _json(request)
        z = combine(*(self._one(asked, name) for name in "abc"))
        return JSONResponse({"z": z.tolist()})

    async def traverse(self, request: Request) -> Response:
        """A code with one dimension set to each value."""
        asked = await _json(request)
        values = asked.get("values")
        if not isinstance(values, list) or not 0 < len(values) <= MOST_ROWS or not all(_is_number(v) for v in values):
            raise UserError(f"values must be 1 to {MOST_ROWS} numbers")
        z = traverse(self._one(asked, "z"), _whole(asked, "dimension", 0, self.x.size - 1), values)
        return JSONResponse({"z": z[0].tolist()})

    async def lift(self, request: Request) -> Response:
        """The code at a place of the map; what the map does not show is as in `keep`, or as in the example `near`."""
        asked = await _json(request)
        place = asked.get("at")
        if not isinstance(place, list) or len(place) != 2 or not all(_is_number(v) and abs(v) < 1e6 for v in place):
            raise UserError("at must be two numbers")
        self._made()
        keep = self._one(asked, "keep") if asked.get("keep") is not None else None
        if asked.get("near") is not None:
            near = await self._run(self._quick, self.x.encode, _whole(asked, "near", 0, 2**31))
            keep = self.x.code([near["z"]])[0]
        return JSONResponse({"z": self.x.lift(place, keep)})

    async def save(self, request: Request) -> Response:
        """Codes and what they decode to, as a NPZ file."""
        asked = await _json(request)
        z, label, sampled = self._rows(asked), _label(asked), self._sampled(asked)
        data = await self._run(self._quick, lambda: self.x.npz(z, label, sampled and sampled(z, label)))
        headers = {"content-disposition": 'attachment; filename="vaekit.npz"'}
        return Response(data, media_type=_RAW, headers=headers)

    async def sound(self, request: Request) -> Response:
        """A code decoded, as a WAV file."""
        asked = await _json(request)
        z, label = self._one(asked, "z")[None], _label(asked)
        return await self._heard(lambda: self.x.mean(z, label))

    async def heard(self, request: Request) -> Response:
        """An example as a WAV file."""
        index = _query(request, "i", "an example")
        return await self._heard(lambda: self.x.example(index)[0])

    async def _heard(self, spectrogram: Callable[[], Tensor]) -> Response:
        if self.x.facts["sound"] is None:
            raise UserError(f"{self.x.info.name} holds no sound, so there is nothing to hear")

        def work() -> bytes:
            return heard(spectrogram(), self.x.info, self.x.run.prepare)

        return Response(await self._run(self._slow, work), media_type="audio/wav")

    def _one(self, asked: dict[str, Any], name: str) -> Tensor:
        return self.x.code([asked.get(name)])[0]

    def _rows(self, asked: dict[str, Any]) -> Tensor:
        rows = asked.get("z")
        if not isinstance(rows, list) or not 0 < len(rows) <= MOST_ROWS:
            raise UserError(f"z must be 1 to {MOST_ROWS} rows of {self.x.size} numbers")
        return self.x.code(rows)

    # -- examples ---------------------------------------------------------------------------------------------------

    async def example(self, request: Request) -> Response:
        """An example's code and label."""
        return JSONResponse(await self._run(self._quick, self.x.encode, _query(request, "i", "an example")))

    async def thumb(self, request: Request) -> Response:
        """An example as it is drawn, raw."""
        index = _query(request, "i", "an example")
        shown = await self._run(self._quick, lambda: self.x.shown(self.x.example(index)[0]))
        return Response(_bytes(shown), media_type=_RAW)

    async def molecule(self, request: Request) -> Response:
        """A molecule by its SMILES, drawn as SVG: an image, which runs no scripts and loads nothing."""
        smiles = request.query_params.get("smiles", "")
        if len(smiles) > MOST_SMILES:
            raise UserError(f"smiles must be up to {MOST_SMILES:,} letters")
        drawn = await self._run(self._quick, lambda: svg(smiles, dark=request.query_params.get("dark") == "1"))
        return Response(drawn, media_type="image/svg+xml")

    async def infer(self, request: Request) -> Response:
        """A known example's posterior, reconstruction, bound and score."""
        asked = await _json(request)
        index, label = _whole(asked, "index", 0, 2**31), _label(asked)
        x, y = self.x.example(index)
        label = self.x.labels.of(y) if label is None else label
        return await self._inferred(x, label, "")

    async def infer_pixels(self, request: Request) -> Response:
        """The same for a drawing: one byte a pixel and channel, height × width × channels."""
        data = await _body(request)
        facts = self.x.facts
        shape = (facts["height"], facts["width"], facts["channels"])
        if not facts["image"] or len(data) != shape[0] * shape[1] * shape[2]:
            raise UserError(f"a drawing is {shape[0]} × {shape[1]} × {shape[2]} bytes, not {len(data)}")
        values = np.moveaxis(np.frombuffer(data, np.uint8).reshape(shape), -1, 0) / 255
        return await self._inferred(self.x.prepared(values, "unit"), _query_label(request), "")

    async def infer_file(self, request: Request) -> Response:
        """The same for a file: PNG, JPEG, NPY or WAV."""
        if not self._uploads.take():
            raise Refused(429, "too many files at once; wait a second")
        data = await _body(request)
        invert = request.query_params.get("invert") == "1"

        def read() -> tuple[Any, str]:
            if data[:4] == b"RIFF":
                values, told = read_sound(data, self.x.info)
                return self.x.prepared(values, "source"), told
            values, scale, told = read_upload(data, tuple(self.x.info.shape), invert)
            return self.x.prepared(values, scale), told

        x, told = await self._run(self._slow, read)
        return await self._inferred(x, _query_label(request), told)

    async def infer_text(self, request: Request) -> Response:
        """The same for a line of text."""
        asked = await _json(request)
        line = asked.get("text")
        if not isinstance(line, str) or not line.strip() or len(line) > MOST_TEXT:
            raise UserError(f"text must be a line of 1 to {MOST_TEXT:,} letters")
        return await self._inferred(await self._run(self._slow, self.x.typed, line), _label(asked), "")

    async def _inferred(self, x: Any, label: Label, told: str) -> Response:
        def work() -> dict[str, Any]:
            self.x.scores()  # the first waits for the distribution that the score is compared with
            return self.x.infer(x, label)

        answer = await self._run(self._slow, work)
        for name in ("x", "recon"):
            answer[name] = base64.b64encode(_bytes(np.asarray(answer[name])[None])).decode()
        return JSONResponse(answer | {"told": told, "label": label})

    async def _run(self, pool: ThreadPoolExecutor, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, call, *args)


_RAW = "application/octet-stream"


def _points(points: np.ndarray, labels: np.ndarray | None) -> Response:
    body = points.astype("<f4").tobytes() + (b"" if labels is None else labels.astype("<i2").tobytes())
    headers = {"x-count": str(len(points)), "x-labels": str(int(labels is not None))}
    return Response(body, media_type=_RAW, headers=headers)


def _bytes(shown: np.ndarray) -> bytes:
    """Return what the page draws as bytes: numbers as they lie in memory, texts as JSON."""
    if shown.dtype.kind == "U":
        return json.dumps(shown.tolist(), ensure_ascii=False).encode()
    return shown.astype(shown.dtype.newbyteorder("<"), copy=False).tobytes()


async def _body(request: Request) -> bytes:
    """Read a body of a type that other sites cannot send unasked, up to the bound."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("application/json", _RAW):
        raise Refused(415, "send application/json or application/octet-stream")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BODY:
            raise Refused(413, f"the file is over {MOST_BODY >> 20} MiB; choose a smaller one")
        parts.append(part)
    return b"".join(parts)


def _no_constant(name: str) -> Any:
    raise UserError(f"{name} is no number; send finite ones")


async def _json(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await _body(request), parse_constant=_no_constant)
    except UserError:
        raise
    except (ValueError, RecursionError):
        raise UserError("the request is not JSON") from None
    if not isinstance(value, dict):
        raise UserError("the request must be a JSON object")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _whole(asked: dict[str, Any], name: str, low: int, high: int) -> int:
    value = asked.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{name} must be a whole number from {low} to {high}")
    return value


def _label(asked: dict[str, Any]) -> Label:
    label = asked.get("label")
    if isinstance(label, list):
        if len(label) > MOST_ROWS or not all(value is None or _is_number(value) for value in label):
            raise UserError("a label is a class's number, or a list of numbers")
        return label
    return None if label is None else _whole(asked, "label", -1, 2**31)


def _query(request: Request, name: str, what: str) -> int:
    text = request.query_params.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UserError(f"{name} must be the number of {what}")
    return int(text)


def _query_label(request: Request) -> Label:
    text = request.query_params.get("label")
    if not text:
        return None
    try:
        values = [float(word) if word else None for word in text.split(",")]
    except ValueError:
        raise UserError("label must be the number of a class, or numbers with commas between") from None
    first = values[0]
    return int(first) if len(values) == 1 and first is not None and first.is_integer() else values


async def _said(request: Request, error: Exception) -> Response:
    status, reason = (error.status_code, error.detail) if isinstance(error, Refused) else (400, str(error))
    return JSONResponse({"error": " ".join(reason.split())}, status)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the explorer failed: {type(error).__name__}: {error}"}, status_code=500)


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", media_type="text/html")


def make_app(session: Session, live: Live | None = None) -> Starlette:
    """Return the application, without its guard; `live` is the training of a run that has not ended."""
    api = Api(session, live)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        api.start()
        yield
        api.stop()

    return Starlette(
        routes=[Route("/", _page), *api.routes(), Mount("/static", StaticFiles(directory=STATIC))],
        exception_handlers={UserError: _said, Refused: _said, ClientDisconnect: _said, Exception: _failed},
        lifespan=lifespan,
    )
