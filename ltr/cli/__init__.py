"""The command line: one verb a module, errors in one sentence.

Exit codes: 0 done; 1 a check that failed (``ltr reproduce``); 2 bad input, with one sentence on standard error and no
traceback; 130 interrupted. ``--json`` prints one object on standard output and nothing else there.
"""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["app", "main"]

INTERRUPTED = 130
BAD_INPUT = 2


def main() -> None:
    """Run the command line and exit."""
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        # Where Ctrl-C met a module that was being made by exec (as dataclasses are), Python remembers it and would
        # die of the signal at its own exit, whatever was caught since.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    try:
        # Imported here, since `import ltr` must load neither typer nor rich, and inside, since Ctrl-C may come now.
        from ltr.cli.application import invoke
        from ltr.errors import LtrError

        try:
            return invoke(arguments)
        except LtrError as error:
            return _fail(str(error))
    except KeyboardInterrupt:
        # A library's object that was cut off while it was being made complains when it is taken down.
        sys.unraisablehook = lambda _about: None
        sys.stderr.write("interrupted; earlier results are untouched\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has had enough; a second failure at exit would print a traceback.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        advice = (
            "check its permissions, or choose another place"
            if error.errno in (errno.EACCES, errno.EROFS)
            else "free some space, or choose another place"
        )
        return _fail(f"{error.filename or 'a file'}: {error.strerror}; {advice}")


def _fail(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return BAD_INPUT
