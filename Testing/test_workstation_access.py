"""Who may reach the browser workstation: the link with its token, from this computer, and nobody else."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from workstation_driver import a_server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server for these tests alone, which must not have been troubled by what they ask."""
    with a_server(tmp_path_factory.mktemp("workstation")) as running:
        yield running
        assert "Traceback" not in running.log() and "ERROR" not in running.log()


def status_of(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "path", ["/", "/?secret=wrong", "/index.html", "/medsr_web/medsr.js", "/download/v1/volume.nrrd", "/ws?secret=wrong"]
)
def test_nothing_is_served_without_the_token(server, path):
    assert status_of(server.address + path) == 403


def test_the_link_serves_the_page(server):
    assert status_of(server.link) == 200


def test_another_host_name_or_origin_is_refused(server):
    assert status_of(server.link, Host="evil.example") == 403
    assert status_of(server.link, Origin="http://evil.example") == 403


def test_a_websocket_without_the_token_is_refused_and_with_it_a_wrong_key_gets_nothing(server):
    asyncio, aiohttp, msgpack = (pytest.importorskip(name) for name in ("asyncio", "aiohttp", "msgpack"))
    secret = server.link.partition("secret=")[2]

    async def hello(url: str, key: str) -> bytes:
        from wslink.chunking import UnChunker, generate_chunks

        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            message = {"wslink": "1.0", "id": "system:c0:0", "method": "wslink.hello", "args": [{"secret": key}], "kwargs": {}}
            call = {"wslink": "1.0", "id": "rpc:c0:1", "method": "trame.state.get", "args": [], "kwargs": {}}
            answers, parts = [], UnChunker()
            for one in (message, call):
                for chunk in generate_chunks(msgpack.packb(one), 10**6):
                    await socket.send_bytes(chunk)
                whole = None
                while whole is None:
                    whole = parts.process_chunk((await socket.receive(timeout=10)).data)
                answers.append(whole)
            return json.dumps(answers, default=str).encode()

    socket_url = server.address.replace("http", "ws") + "/ws"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        asyncio.run(hello(socket_url, secret))
    assert refused.value.status == 403
    wrong = asyncio.run(hello(f"{socket_url}?secret={secret}", "wslink-secret"))
    assert b"Authentication failed" in wrong and b"Unauthorized" in wrong and b'"state"' not in wrong


def test_only_the_loopback_interface_listens(server):
    port = int(server.address.rpartition(":")[2])
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("only Linux lists its sockets in a file")
    sockets = [line.split()[1:4] for line in (table.read_text() + Path("/proc/net/tcp6").read_text()).splitlines() if ":" in line]
    listening = [local for local, _remote, state in (s for s in sockets if len(s) == 3) if state == "0A" and local.endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]
