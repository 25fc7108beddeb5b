"""The files of the page at /, read once: a request names one of them, and never a path.

They load nothing from elsewhere, and what a browser would load from elsewhere is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["INDEX", "PAGE", "SECURITY", "PageFile", "read_files"]

PAGE: Final = Path(__file__).parent / "page"
INDEX: Final = "index.html"
SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """One file."""

    content: bytes
    media_type: str
    etag: str

    @property
    def headers(self) -> Mapping[str, str]:
        """To be asked about each time, and sent when it has changed."""
        return {**SECURITY, "Cache-Control": "no-cache", "ETag": self.etag}


def read_files(directory: Path = PAGE) -> dict[str, PageFile]:
    """The page's files by name; those of other kinds are no part of it."""
    found = {}
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        if path.suffix in _TYPES and path.is_file():
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.name] = PageFile(content, _TYPES[path.suffix], etag)
    return found
