"""Who may talk to the workstation: only a browser of this machine that was given the link.

trame's own key protects the calls inside the websocket, not the page, the files or the handshake. This middleware
protects every request: the first one carries the token in the URL and gets a cookie; all others carry the cookie.
"""

from __future__ import annotations

import secrets
from urllib.parse import urlencode, urlsplit

from aiohttp import web

TOKEN_BYTES = 24
LOOPBACK_NAMES = ("127.0.0.1", "localhost")
REFUSED = "This address needs the whole link that MedSR printed when it started, with its secret."


class Gate:
    """Refuses a request without the token, from another origin, or under another host name (DNS rebinding)."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(TOKEN_BYTES)

    def url(self, port: int) -> str:
        """The link that opens the page."""
        return f"http://127.0.0.1:{port}/?{urlencode({'secret': self.token})}"

    def middleware(self):
        """The aiohttp middleware of this gate."""

        @web.middleware
        async def guard(request: web.Request, handler):
            if not self._is_local(request) or not (self._has_link(request) or self._has_cookie(request)):
                return web.Response(status=403, text=REFUSED)
            try:
                response = await handler(request)
            except web.HTTPException as answer:  # redirections and 404 are raised
                self._mark(request, answer)
                raise
            self._mark(request, response)
            return response

        return guard

    async def session(self, request: web.Request) -> web.Response:
        """What trame's client asks for before it connects: where the websocket is, and the key of the calls inside it."""
        return web.json_response({"sessionURL": f"ws://{request.host}/ws", "secret": self.token})

    def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give the cookie to who brought the link; let the page load nothing from elsewhere."""
        if response.prepared:  # a websocket, or a stream that has begun
            return
        if self._has_link(request):
            response.set_cookie(self._cookie_name(request), self.token, httponly=True, samesite="Strict", path="/")
        sockets = " ".join(f"ws://{name}:{_port(request)}" for name in LOOPBACK_NAMES)
        response.headers["Content-Security-Policy"] = (
            "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
            f"connect-src 'self' data: blob: {sockets}; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"

    def _has_link(self, request: web.Request) -> bool:
        return self._matches(request.query.get("secret", ""))

    def _has_cookie(self, request: web.Request) -> bool:
        return self._matches(request.cookies.get(self._cookie_name(request), ""))

    def _matches(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self.token.encode())

    @staticmethod
    def _cookie_name(request: web.Request) -> str:
        return f"medsr-{_port(request)}"  # cookies do not know ports: two workstations must not share one

    @staticmethod
    def _is_local(request: web.Request) -> bool:
        origin = request.headers.get("Origin")
        if request.url.host not in LOOPBACK_NAMES:
            return False
        return origin is None or urlsplit(origin).netloc == request.headers.get("Host", "")


def _port(request: web.Request) -> int:
    sockname = request.transport.get_extra_info("sockname") if request.transport else None
    return sockname[1] if sockname else 0
