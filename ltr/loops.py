"""Loops compiled by numba, kept on disk so that a process does not compile what an earlier one has.

numba keeps them beside the module, or in NUMBA_CACHE_DIR, or in the user's cache directory. Where none of these can be
written, or what is kept is damaged or the disk full, the loops are compiled for this process alone, which takes seconds: a
read-only image should carry a filled NUMBA_CACHE_DIR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from ltr.errors import MissingExtraError

try:
    import numba
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba.core import cgutils, types
    from numba.extending import intrinsic
except ImportError as error:
    raise MissingExtraError("numba", "serve") from error

__all__ = ["compiled", "prefetch"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(signature: Any = None, *, kept: bool = True, reordered: bool = False) -> Callable[[F], F]:
    """Compile a loop without the interpreter's lock, so that threads may share the work.

    Args:
        signature: the types that it is compiled for, alone and at once (one signature, or a list); None = for those of the
            first call, and then.
        kept: on disk.
        reordered: one row's own sum may be taken in several lanes: the same bits for the same row wherever it stands, but
            perhaps others on another processor. Else no sum is reordered, and no product fused into a sum.
    """
    policy: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc"} if reordered else False}

    def decorate(loop: F) -> F:
        if kept:
            try:
                return cast("F", numba.njit(signature, cache=True, **policy)(loop))
            # No place to write (RuntimeError), a full disk, a damaged file: whatever the loop itself is at fault for is
            # raised again below.
            except Exception:
                pass
        return cast("F", numba.njit(signature, **policy)(loop))

    return decorate


@cast("Callable[..., Any]", intrinsic)
def prefetch(typing: Any, array: Any, place: Any) -> Any:
    """Have a processor fetch an element that will be read soon, and go on meanwhile; nothing else comes of it."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, given[0])
        address = builder.bitcast(builder.gep(held.data, [given[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(call, [address, number(0), number(3), number(1)])  # to be read, kept near, data
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
