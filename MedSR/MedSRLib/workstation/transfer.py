"""Files to and from the page, over HTTP: uploads stream to a private folder, downloads are named by the entry they belong to."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from ..errors import InputError, MedSRError, ResourceError

MAX_UPLOAD_BYTES = 8 * 1024**3
MAX_FILES = 20_000
SPARE_DISK_BYTES = 512 * 1024**2
CHUNK_BYTES = 1024**2
NAME_LENGTH = 120
NAME_BYTES = 200
"""Systems allow 255 in UTF-8; what is made of a file adds an ending of its own."""
MOST_FOLDERS = 8
WEB = Path(__file__).with_name("web")


def safe_name(name: str) -> str:
    """A file name that can do no harm: one path component, letters, digits and ". _ -", not hidden, not too long."""
    parts = [p for p in re.split(r"[\\/]+", name) if p not in ("", ".", "..")]
    clean = re.sub(r"[^\w.\- ]", "_", "_".join(parts)).strip(" .")
    if len(clean) > NAME_LENGTH or len(clean.encode()) > NAME_BYTES:
        suffixes = "".join(Path(clean).suffixes[-2:])[-20:]
        stem = clean[: NAME_LENGTH - len(suffixes)].encode()[: NAME_BYTES - len(suffixes.encode())]
        clean = stem.decode(errors="ignore") + suffixes
    return clean or "file"


def safe_path(name: str) -> Path:
    """The name of a file in an uploaded folder, its folders kept: a header finds its voxels beside it. Each part as `safe_name` has it."""
    parts = [safe_name(part) for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")]
    return Path(*parts[-MOST_FOLDERS:]) if parts else Path(safe_name(name))


class Transfer:
    """The routes /upload and /download/<entry>/<what>.

    on_upload: called with the folder and the files of one finished upload.
    find: awaited with (entry, what); gives the file to send, or raises MedSRError.
    """

    def __init__(self, folder: Path, on_upload: Callable[[Path, list[Path]], None], find: Callable[[str, str], Awaitable[Path]]) -> None:
        self._folder, self._on_upload, self._find, self._count = folder, on_upload, find, 0

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/upload", self._upload)
        app.router.add_get("/download/{entry}/{what}", self._download)
        for name in ("loading.tpl", "logo.png"):  # trame's own would show its logo while the page loads
            app.router.add_get(f"/{name}", _splash)

    async def _upload(self, request: web.Request) -> web.Response:
        self._count += 1
        folder = self._folder / f"upload-{self._count}"
        try:
            files = await self._receive(request, folder)
        except MedSRError as error:
            shutil.rmtree(folder, ignore_errors=True)
            return web.json_response({"error": error.sentence()}, status=413 if isinstance(error, ResourceError) else 400)
        except Exception as error:  # a tab that closed, a full disk, a body that is no form: nothing half-received stays
            shutil.rmtree(folder, ignore_errors=True)
            return web.json_response({"error": f"The upload failed: {error}."}, status=400)
        except asyncio.CancelledError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._on_upload(folder, files)
        return web.json_response({"files": len(files)})

    async def _receive(self, request: web.Request, folder: Path) -> list[Path]:
        folder.mkdir(parents=True)
        limit = min(MAX_UPLOAD_BYTES, shutil.disk_usage(folder).free - SPARE_DISK_BYTES)
        files: list[Path] = []
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.filename:
                continue
            if len(files) == MAX_FILES:
                raise ResourceError(f"more than {MAX_FILES} files at once", where="upload", fix="give the folder's path instead")
            path = folder / safe_path(part.filename)
            path = path if not path.exists() else path.with_name(f"{len(files)}_{path.name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            limit -= await _store(part, path, limit)
            files.append(path)
        if not files:
            raise InputError("there is no file in this upload")
        return files

    async def _download(self, request: web.Request) -> web.StreamResponse:
        try:
            path = await self._find(request.match_info["entry"], request.match_info["what"])
        except MedSRError as error:
            return web.Response(status=404, text=error.sentence())
        disposition = "inline" if path.suffix in (".png", ".svg") else "attachment"
        name = f"{disposition}; filename*=UTF-8''{quote(path.name)}"
        return web.FileResponse(path, headers={"Content-Disposition": name, "Cache-Control": "no-store"})


async def _store(part, path: Path, limit: int) -> int:
    """Write one part to disk; gives its bytes. Raises ResourceError beyond `limit` bytes."""
    size = 0
    with path.open("wb") as file:
        while chunk := await part.read_chunk(CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise ResourceError("the upload is larger than 8 GiB or the free space", where=path.name, fix="give its path instead")
            file.write(chunk)
    return size


async def _splash(request: web.Request) -> web.StreamResponse:
    if request.path.endswith(".png"):
        return web.Response(body=(WEB / "logo.svg").read_bytes(), content_type="image/svg+xml")
    return web.Response(body=(WEB / "loading.html").read_bytes(), content_type="text/html")
