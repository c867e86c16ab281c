"""Who may see the live page.

Without a token, only what calls it by a loopback name: a web page of somebody else's whose name points at 127.0.0.1
(DNS rebinding) calls it by its own. With one, whoever brings it: in the address (?token=), from then on in a cookie, or
in an Authorization header, as Prometheus does.
"""

import ipaddress
import secrets
from html import escape

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MONTH_S = 30 * 24 * 3600
STYLE = """
main { max-width: 34rem; } label { display: block; color: var(--soft); } form { margin-top: 1.2rem; }
input, button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .5rem .8rem; max-width: 100%; }
"""
"""Of the page that refuses, on top of what all pages share."""
REFUSED = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fer-edge</title><style>{style}</style></head><body><main><h1>{title}</h1>
<p>fer-edge printed an address when it started. Open that one, or type the letters behind its last = sign.</p>
<form action="./" method="get"><label for="token">Token</label>
<input id="token" name="token" autocomplete="off" autocapitalize="off" autofocus>
<button>Open</button></form></main></body></html>
"""


class Guard:
    """Stands before an application, and puts the same strict headers on every answer."""

    def __init__(self, app: ASGIApp, token: str | None, port: int, policy: str, style: str) -> None:
        """Guard `app`.

        Args:
            app: What to guard.
            token: What whoever watches has to bring; None to let in what calls by a loopback name.
            port: Names the cookie: the cookies of a host are sent to all of its ports.
            policy: The Content-Security-Policy; allows `style`.
            style: For the page that refuses.
        """
        self._app, self._token, self._policy, self._style = app, token, policy, style
        self._cookie = f"fer-edge-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            return

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-store"
                headers["Content-Security-Policy"] = self._policy
                headers["Cross-Origin-Resource-Policy"] = "same-site"  # other ports of this host may embed the stream
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        answer = self._answer(Request(scope)) or self._app
        await answer(scope, receive, send_strictly)

    def _answer(self, request: Request) -> Response | None:
        """Refuse, or send on after the token has become a cookie; None to let it pass."""
        if self._token is None:
            host = request.headers.get("host", "")
            if is_loopback_name(host):
                return None
            text = f"This page answers on localhost only, not as {host[:100]}; start fer-edge with --preview-token.\n"
            return PlainTextResponse(text, 403)
        asked = request.query_params.get("token")
        if asked is not None and self._right(asked):
            if request.url.path != "/":
                return None
            onwards = RedirectResponse("./", 303)  # the token leaves the address bar
            onwards.set_cookie(self._cookie, self._token, max_age=MONTH_S, httponly=True, samesite="lax")
            return onwards
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._right(request.cookies.get(self._cookie, "")) or self._right(bearer):
            return None
        headers = {"WWW-Authenticate": "Bearer"}
        if request.url.path != "/":
            return PlainTextResponse("Open the address that fer-edge printed: it ends in ?token=\n", 401, headers)
        title = "This page asks for a token" if asked is None else "That is not the token"
        return HTMLResponse(REFUSED.format(style=self._style, title=escape(title)), 401, headers)

    def _right(self, token: str) -> bool:
        """Compare in a time that does not tell how much of it was right."""
        return secrets.compare_digest(token.encode(), (self._token or "").encode())


def is_loopback_name(host: str) -> bool:
    """Log whether a Host header names this machine to itself; the port may be that of a tunnel.

    >>> [is_loopback_name(host) for host in ("localhost:4912", "127.0.0.1", "[::1]:80", "evil.example:4912", "")]
    [True, True, True, False, False]
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
