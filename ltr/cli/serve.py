"""``ltr serve BUNDLE``: the bundle behind HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ltr.errors import BundleError, ConfigError

__all__ = ["serve"]


def serve(
    bundle: Annotated[Path, typer.Argument(help="A bundle directory, or a link to one.", metavar="BUNDLE")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer, a core each.")] = 1,
    deadline_ms: Annotated[
        float, typer.Option(min=1, max=10_000, help="What one /rerank may take; a request may ask for less or more.")
    ] = 30.0,
    people_ms: Annotated[float, typer.Option(min=1, max=10_000, help="The same for /search and /explain.")] = 2_000.0,
    max_candidates: Annotated[int, typer.Option(min=1, max=1_000, help="In one request.")] = 1_000,
    answer_log: Annotated[
        Path | None, typer.Option(help="Append each answer to this file, as UBI JSON lines.", metavar="FILE")
    ] = None,
    page: Annotated[bool, typer.Option(help="A page to try it at, at /.")] = True,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Let all who reach the host ask, without a key.")
    ] = False,
) -> None:
    """Rerank over HTTP until Ctrl-C: /rerank, /search, /explain and the calls of other rerankers.

    Keys come from LTR_SERVE_KEYS and LTR_SERVE_ADMIN_KEYS, separated by commas, or from the files that LTR_SERVE_KEYS_FILE
    and LTR_SERVE_ADMIN_KEYS_FILE name, one a line; with admin keys there is /admin/reload, rollback, off and on. SIGHUP
    reloads too: the bundle, its state as ltr refresh has left it, and the keys.
    """
    from ltr.serving.service import become
    from ltr.serving.settings import ADMIN_KEYS, KEYS, Settings, read_keys

    if not (bundle / "bundle.json").is_file():
        raise BundleError(f"{bundle} is not a bundle", hint="give a directory that ltr train has made")
    settings = Settings(
        host=host,
        port=port,
        workers=workers,
        deadline_ms=deadline_ms,
        people_ms=people_ms,
        max_candidates=max_candidates,
        keys=read_keys(os.environ, KEYS),
        admin_keys=read_keys(os.environ, ADMIN_KEYS),
        answer_log=answer_log,
        page=page,
    )
    if not settings.private and not settings.keys and not without_keys:
        raise ConfigError(
            f"others reach {host}, and no key is set",
            hint=f"set {KEYS}, or say --without-keys where a proxy asks for them",
        )
    if answer_log is not None:
        try:
            answer_log.open("ab").close()
        except OSError as error:
            raise ConfigError(
                f"--answer-log {str(answer_log)!r} cannot be written: {error.strerror}", hint="choose another file"
            ) from error
    become(bundle, settings)
