"""What a service may take and how long it may take: frozen when it starts, from options and the environment.

Keys come from the environment or from a file, never from an option, which every process on the machine can read. Several are
valid at once, so that one can be replaced while callers still use the other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ltr.errors import ConfigError
from ltr.serving.request import MAX_CANDIDATES

__all__ = ["ADMIN_KEYS", "KEYS", "LEAST_KEY", "Settings", "read_keys"]

KEYS: Final = "LTR_SERVE_KEYS"
ADMIN_KEYS: Final = "LTR_SERVE_ADMIN_KEYS"
LEAST_KEY: Final = 16  # characters


@dataclass(frozen=True)
class Settings:
    """Of one service.

    Args:
        host: the address to listen on.
        port: of TCP; 0 takes a free one.
        workers: processes that answer.
        deadline_ms: what one /rerank may take, from its arrival; a request may ask for less or more, up to ``most_ms``.
        people_ms: the same for /search and /explain, for which people wait.
        most_ms: the most that a request may ask for.
        max_body: bytes.
        max_candidates: in one request.
        body_s: seconds for the last byte of a request to arrive.
        keys: who may ask; nobody is asked for one where there are none.
        admin_keys: who may reload, roll back and switch off; nobody can where there are none.
        answer_log: a file to which each answer is appended as UBI.
        page: whether / is a page to try it at.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    deadline_ms: float = 30.0
    people_ms: float = 2_000.0
    most_ms: float = 10_000.0
    max_body: int = 4 * 2**20
    max_candidates: int = MAX_CANDIDATES
    body_s: float = 5.0
    keys: tuple[str, ...] = field(default=(), repr=False)
    admin_keys: tuple[str, ...] = field(default=(), repr=False)
    answer_log: Path | None = None
    page: bool = True

    @property
    def private(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_keys(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The keys of a variable, separated by commas, or of the file that ``<name>_FILE`` names, one a line.

    >>> read_keys({"LTR_SERVE_KEYS": "first-of-two-keys,second-of-two-keys"}, KEYS)
    ('first-of-two-keys', 'second-of-two-keys')

    Raises:
        ConfigError: both are set, the file cannot be read, or a key is short or has spaces; no key is shown.
    """
    told, file = environment.get(name, ""), environment.get(f"{name}_FILE", "")
    if told and file:
        raise ConfigError(f"{name} and {name}_FILE are both set", hint="keep one of them")
    if file:
        try:
            told = ",".join(Path(file).read_text(encoding="utf-8").split("\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}_FILE: {file!r} cannot be read", hint="one key a line, in UTF-8") from error
    keys = tuple(one for one in map(str.strip, told.split(",")) if one)
    for at, key in enumerate(keys, start=1):
        if len(key) < LEAST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(
                f"key {at} of {name} is no key", hint=f"at least {LEAST_KEY} visible ASCII characters without spaces"
            )
    if (told.strip() or file) and not keys:
        raise ConfigError(f"{name} holds no key", hint="leave it out, or put a key in it")
    return keys
