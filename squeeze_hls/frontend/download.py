"""Downloads: size capped, hash checked before anything else touches the data, cached."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from squeeze_hls.errors import InputError
from squeeze_hls.frontend.onnx_file import read_bytes
from squeeze_hls.frontend.text import safe_name

_TIMEOUT = 60  # seconds without a byte
_MAX_PAGE = 4 << 20


def cache_dir() -> Path:
    """``$XDG_CACHE_HOME/squeeze-hls``, else ``~/.cache/squeeze-hls``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "squeeze-hls"


def cached(filename: str, sha256: str, limit: int, fetch: Callable[[], bytes]) -> bytes:
    """The file of that hash from the cache, or else from ``fetch``; raises InputError."""
    path = cache_dir() / filename
    if path.is_file():
        data = read_bytes(path, limit)
        if _digest(data) == sha256:
            return data
    data = fetch()
    if _digest(data) != sha256:
        raise InputError(
            f"{filename}: the download has SHA-256 {_digest(data)[:16]}..., expected {sha256[:16]}...; it was "
            "discarded. Try again, or ask who runs the server or proxy."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError:
        pass  # no cache, then: the data are here and checked
    return data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def get(url: str, limit: int, way_out: str) -> bytes:
    """Contents of ``url``; raises InputError with ``way_out`` where it cannot be had."""
    parts = urlsplit(url)
    host = safe_name(parts.hostname or "local file")  # never the credentials
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode())
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=_tls()) as response:
            data = response.read(limit + 1)
    except (OSError, ValueError, urllib.error.URLError) as error:
        cause = getattr(error, "reason", error)
        reason = getattr(cause, "strerror", None) or str(cause)
        raise InputError(f"download from {host} failed ({safe_name(reason)}). {way_out}") from error
    if len(data) > limit:
        raise InputError(f"download from {host} is longer than the {limit:,} bytes expected. {way_out}")
    return data


def _tls() -> ssl.SSLContext:
    certificates = _pip_setting("cert")
    return ssl.create_default_context(cafile=certificates or None)


def _pip_setting(key: str) -> str:
    """A setting of pip: from the environment, then from its configuration files; "" where there is none."""
    value = os.environ.get(f"PIP_{key.upper().replace('-', '_')}", "")
    if value:
        return value
    try:
        from pip._internal.configuration import Configuration  # pip has no public interface for this

        configuration = Configuration(isolated=False)
        configuration.load()
        settings = dict(configuration.items())
    except Exception:  # another pip, or none: its settings are a convenience
        return ""
    for section in ("download", "install", "global"):
        for name, found in settings.items():
            if name == f"{section}.{key}" and isinstance(found, str):
                return found
    return ""


def package_index() -> str:
    """Address of the package index that pip uses here, "" where it cannot be found out."""
    configured = _pip_setting("index-url")
    if configured:
        return configured
    try:
        from pip._internal.models.index import PyPI

        return str(PyPI.simple_url)
    except Exception:  # no pip
        return ""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for key, value in attrs if key == "href" and value]


def get_from_index(project: str, filename: str, limit: int, way_out: str) -> bytes:
    """A file of a project on the package index; nothing of it is installed or executed."""
    index = package_index()
    if not index:
        raise InputError(f"{filename}: no package index is configured (PIP_INDEX_URL). {way_out}")
    page = f"{index.rstrip('/')}/{project}/"
    links = _Links()
    links.feed(get(page, _MAX_PAGE, way_out).decode("utf-8", "replace"))
    for link in links.found:
        if unquote(urlsplit(link).path).rpartition("/")[2] == filename:
            return get(urljoin(page, link), limit, way_out)
    raise InputError(f"{filename}: the package index does not have it. {way_out}")
