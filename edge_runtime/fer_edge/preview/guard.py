"""Access control of the live page.

Without a token, only requests to a loopback host name are allowed, which excludes DNS rebinding. With one, the token is
required: in the address (?token=), afterwards in a cookie, or in an Authorization header, as Prometheus sends it.
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
"""Additional style of the access page."""
ACCESS_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fer-edge</title><style>{style}</style></head><body><main><h1>{title}</h1>
<p>Open the address that fer-edge printed at the start, or enter the token: the text after its last = sign.</p>
<form action="./" method="get"><label for="token">Token</label>
<input id="token" name="token" autocomplete="off" autocapitalize="off" autofocus>
<button>Open</button></form></main></body></html>
"""


class Guard:
    """ASGI middleware that checks access and adds security headers to every response."""

    def __init__(self, app: ASGIApp, token: str | None, port: int, policy: str, style: str) -> None:
        """Protect `app`.

        Args:
            app: The application.
            token: Required token; None to allow requests to a loopback host name.
            port: Part of the cookie's name, since a host's cookies are sent to all of its ports.
            policy: The Content-Security-Policy, which allows `style`.
            style: Style of the access page.
        """
        self._app, self._token, self._policy, self._style = app, token, policy, style
        self._cookie = f"fer-edge-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond, or pass the request to the application."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-store"
                headers["Content-Security-Policy"] = self._policy
                headers["Cross-Origin-Resource-Policy"] = "same-site"  # other ports of this host may embed the stream
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        response = self._respond(Request(scope)) or self._app
        await response(scope, receive, send_with_headers)

    def _respond(self, request: Request) -> Response | None:
        """Reject, or redirect after storing the token in a cookie; None to allow the request."""
        if self._token is None:
            host = request.headers.get("host", "")
            if is_loopback_name(host):
                return None
            text = (
                f"This page is available on localhost only, not as {host[:100]}; start fer-edge with --preview-token.\n"
            )
            return PlainTextResponse(text, 403)
        given = request.query_params.get("token")
        if given is not None and self._is_valid(given):
            if request.url.path != "/":
                return None
            redirect = RedirectResponse("./", 303)  # removes the token from the address bar
            redirect.set_cookie(self._cookie, self._token, max_age=MONTH_S, httponly=True, samesite="lax")
            return redirect
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._is_valid(request.cookies.get(self._cookie, "")) or self._is_valid(bearer):
            return None
        headers = {"WWW-Authenticate": "Bearer"}
        if request.url.path != "/":
            return PlainTextResponse("Open the address that fer-edge printed, with its ?token=\n", 401, headers)
        title = "This page requires a token" if given is None else "Wrong token"
        return HTMLResponse(ACCESS_PAGE.format(style=self._style, title=escape(title)), 401, headers)

    def _is_valid(self, token: str) -> bool:
        """Compare tokens in constant time."""
        return secrets.compare_digest(token.encode(), (self._token or "").encode())


def is_loopback_name(host: str) -> bool:
    """Return whether a Host header is a loopback name, with any port, as through a tunnel.

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
