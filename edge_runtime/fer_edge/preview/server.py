"""The web server of the live page, in its own thread. Needs the extra [preview]: Starlette and uvicorn."""

import base64
import errno
import hashlib
import ipaddress
import json
import os
import re
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from fer_edge.errors import FerEdgeError, UsageError, one_line
from fer_edge.html.page import style
from fer_edge.preview.feeds import BOUNDARY, Pictures, messages, stream
from fer_edge.preview.guard import STYLE, Guard
from fer_edge.preview.metrics import CONTENT_TYPE, as_metrics
from fer_edge.preview.state import PreviewState, RunInfo
from fer_edge.settings import PORT
from fer_edge.sinks.stdout import as_json
from fer_edge.tracking.pipeline import Result

PAGE = Path(__file__).with_name("page.html")
TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,128}")
SEND_BUFFER = 1 << 17
"""Bytes buffered by the kernel for a slow viewer; more would show outdated frames."""
GONE_MS = 10_000
"""Milliseconds after which a viewer that receives nothing is disconnected."""
MOST_VIEWERS = 64
"""Maximum connections, two per page; further ones get 503."""
STOPPED_WITHIN_S = 2.0


class Preview:
    """The live page as a sink: stores results without blocking, and shows the newest to viewers."""

    def __init__(
        self,
        about: RunInfo,
        host: str = "127.0.0.1",
        port: int = PORT,
        token: str | None = None,
        stale_after_s: float = 5.0,
    ) -> None:
        """Start the server.

        Args:
            about: Constant information about the run.
            host: Name or address to listen on; any but a loopback address requires a token.
            port: 0 for any free port.
            token: Token that viewers must send; generated if one is required.
            stale_after_s: Seconds without a frame after which /healthz reports a problem.

        Raises:
            UsageError: The token or the port is invalid.
            FerEdgeError: The port is in use, or the address is not this machine's.
        """
        if token is not None and not TOKEN.fullmatch(token):
            raise UsageError("--preview-token takes 8 to 128 letters and digits, also . _ ~ -, or leave it out")
        if not 0 <= port < 1 << 16:
            raise UsageError(f"--preview-port {port}: ports go up to 65535")
        self._socket = _listen(host, port)
        bound, self.port = self._socket.getsockname()[:2]
        if token is None and not ipaddress.ip_address(bound).is_loopback:
            token = secrets.token_hex(8)
        self.address = f"http://{_reachable(bound)}:{self.port}/" + (f"?token={token}" if token else "")
        """Address to open in a browser, with its token."""
        self.state = PreviewState(stale_after_s)
        self.pictures = Pictures(self.state)
        self._about = about
        app = Guard(self._application(), token, self.port, _policy(), style() + STYLE)
        self._server = _Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # no line for every invalid request
                access_log=False,  # a request may contain the token
                server_header=False,
                limit_concurrency=MOST_VIEWERS,
            )
        )
        self._thread = threading.Thread(target=self._serve, name="fer-edge preview", daemon=True)
        self._thread.start()

    def write(self, result: Result) -> None:
        """Store one result; never blocks."""
        self.state.write(result)

    def close(self) -> None:
        """Stop the server, also with connected viewers, and release the port."""
        self._server.should_exit = True
        self._thread.join(STOPPED_WITHIN_S)

    def _serve(self) -> None:
        with self._socket:
            self._server.run(sockets=[self._socket])

    def _application(self) -> Starlette:
        page = _page()

        def streaming(media_type: str, start: Callable[[], Any]) -> Callable[[Request], Awaitable[Response]]:
            async def respond(request: Request) -> Response:
                if request.method == "HEAD":
                    return Response(media_type=media_type)
                return StreamingResponse(start(), media_type=media_type)

            return respond

        async def show_page(_: Request) -> Response:
            return HTMLResponse(page)

        async def latest(_: Request) -> Response:
            newest = self.state.newest
            if newest is None:
                return JSONResponse({"error": "no frame yet"}, 503)
            return Response(json.dumps(as_json(newest.result), allow_nan=False), media_type="application/json")

        async def healthz(_: Request) -> Response:
            problem = self.state.problem()
            return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)

        async def metrics(_: Request) -> Response:
            return Response(as_metrics(self.state, self._about), media_type=CONTENT_TYPE)

        mjpeg = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        return Starlette(
            routes=[
                Route("/", show_page),
                Route("/stream.mjpg", streaming(mjpeg, lambda: stream(self.pictures))),
                Route(
                    "/events",
                    streaming("text/event-stream", lambda: messages(self.state, self._about)),
                ),
                Route("/latest.json", latest),
                Route("/healthz", healthz),
                Route("/metrics", metrics),
            ]
        )


class _Server(uvicorn.Server):
    """uvicorn that does not wait for open streams on shutdown."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def show(address: str) -> bool:
    """Open the page in this machine's browser; False without a screen or browser."""
    screen = sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return screen and webbrowser.open(address)


def _page() -> str:
    return PAGE.read_text(encoding="utf-8").replace("/* the style that all pages share */", style())


def _policy() -> str:
    """Return a Content-Security-Policy that allows the page's own content and server only."""
    inline = {kind: re.findall(rf"<{kind}>(.*?)</{kind}>", _page(), re.DOTALL) for kind in ("script", "style")}
    inline["style"].append(style() + STYLE)  # of the access page
    digests = {
        kind: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        )
        for kind, texts in inline.items()
    }
    return (
        f"default-src 'none'; script-src {digests['script']}; style-src {digests['style']}; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port now, so that connections wait until the server has started.

    Raises:
        FerEdgeError: It is in use or not allowed, or the host is not this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FerEdgeError(f"--preview-host {host}: {one_line(error)}; type: --preview-host 0.0.0.0") from error
    # localhost resolves to 127.0.0.1 and ::1; prefer IPv4
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # allow a restart right after a run
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MS)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise FerEdgeError(_cannot_listen(error, host, port, family)) from error
    return listening


def _cannot_listen(error: OSError, host: str, port: int, family: int) -> str:
    failure = f"the live page cannot listen on {host} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{failure}: it is in use; type: --preview-port {_free_port(host, port, family)}"
    if error.errno == errno.EACCES:
        return f"{failure}: ports below 1024 need root; type: --preview-port {PORT}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{failure}: this machine has no such address; type: --preview-host 0.0.0.0"
    return f"{failure}: {error.strerror or error}"


def _free_port(host: str, taken: int, family: int) -> int:
    """Find a free port after the one in use."""
    for port in range(taken + 1, min(taken + 50, 1 << 16)):
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            try:
                trial.bind((host, port))
            except OSError:
                continue
            return port
    return 0  # any


def _reachable(bound: str) -> str:
    """Return the address that other machines can use, if it listens on all of them."""
    address = ipaddress.ip_address(bound)
    if address.is_unspecified:
        family, far = (socket.AF_INET6, "2001:db8::1") if address.version == 6 else (socket.AF_INET, "192.0.2.1")
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((far, 9))  # sends no packet; the kernel selects the source address
                bound = probe.getsockname()[0]
            except OSError:  # no network yet
                bound = socket.gethostname()
    return f"[{bound}]" if ":" in bound else bound
