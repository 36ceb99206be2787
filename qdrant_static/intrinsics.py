# Numba gives these functions their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"
# mypy: disable-error-code="var-annotated, assignment"
"""Compilation of kernels, and operations on bytes that Numba lacks.

Imported only by kernel modules: importing Numba takes longer (230 to 460 ms) than answering a
query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj


def compiled(function: Callable[..., Any] | None = None, *, fastmath: bool = False) -> Any:
    """Compile a kernel that releases the GIL, with Numba's cache.

    Numba needs a writable folder: ``__pycache__`` beside the source, or the user's cache folder. In
    a read-only installation without a home there is none, and Numba *raises while decorating*, so
    that the module could not be imported; then the kernels are compiled without a cache in every
    process.
    """
    if function is None:
        return lambda decorated: compiled(decorated, fastmath=fastmath)
    try:
        return njit(nogil=True, cache=True, fastmath=fastmath)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return njit(nogil=True, fastmath=fastmath)(function)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = arrayobj.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, view, [index], wraparound=False)


@intrinsic
def address(typing_context: Any, array: Any) -> Any:
    """Return the address of the first element of an array.

    For small functions with array arguments Numba counts references, with atomic instructions,
    unless its pruning finds that they do not matter; in a loop over words that took three times as
    long as everything else. The caller must keep the array alive.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = arrayobj.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(view.data, context.get_value_type(types.intp))

    return types.intp(array), build


def _load(width: types.Integer) -> Any:
    def load(typing_context: Any, where: Any) -> Any:
        """Read an unsigned integer, little-endian, aligned or not, from an address (unchecked)."""

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = context.get_value_type(width)
            loaded = builder.load(builder.inttoptr(args[0], kind.as_pointer()))
            loaded.align = 1
            return loaded

        return width(types.intp), build

    return intrinsic(load)


load_uint64 = _load(types.uint64)
load_uint8 = _load(types.uint8)
load_int32 = _load(types.int32)


@intrinsic
def store_int32(typing_context: Any, where: Any, value: Any) -> Any:
    """Write an int32 to an address (unchecked)."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(types.int32)
        stored = builder.store(args[1], builder.inttoptr(args[0], kind.as_pointer()))
        stored.align = 4
        return context.get_dummy_value()

    return types.void(types.intp, types.int32), build


@intrinsic
def trailing_zeros(typing_context: Any, value: Any) -> Any:
    """Return the number of zero bits below the lowest set bit of a uint64; 64 for zero."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], cgutils.false_bit)

    return types.uint64(types.uint64), build


@intrinsic
def classify(typing_context: Any, data: Any, index: Any, fold: Any) -> Any:
    """Classify 64 bytes at once, with the vector instructions of the machine.

    Args:
        typing_context: Numba's.
        data: uint8, writable; 64 bytes from ``index`` are read, and written with ASCII letters
            combined by OR with ``fold``.
        index: Where.
        fold: uint8, 0x20 to lower case, else 0.

    Returns:
        Three uint64 with one bit per byte: letters and digits; space, tab and line ends; and bytes
        that are neither these nor printable ASCII.
    """
    letter = ir.IntType(8)
    vector = ir.VectorType(letter, 64)

    def every(value: int) -> Any:
        return ir.Constant(vector, [value] * 64)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        pointer = builder.bitcast(pointer, vector.as_pointer())
        text = builder.load(pointer)
        text.align = 1

        def below(value: Any, bound: int) -> Any:
            return builder.icmp_unsigned("<", value, every(bound))

        def equal(bound: int) -> Any:
            return builder.icmp_unsigned("==", text, every(bound))

        letters = below(builder.sub(builder.or_(text, every(0x20)), every(ord("a"))), 26)
        digits = below(builder.sub(text, every(ord("0"))), 10)
        ends = builder.or_(equal(10), equal(13))
        spaces = builder.or_(builder.or_(equal(32), equal(9)), ends)
        strange = builder.not_(below(builder.sub(text, every(32)), 95))
        strange = builder.and_(strange, builder.not_(spaces))
        lane = builder.insert_element(
            ir.Constant(vector, ir.Undefined), args[2], ir.Constant(ir.IntType(32), 0)
        )
        folds = builder.shuffle_vector(
            lane,
            ir.Constant(vector, ir.Undefined),
            ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64),
        )
        lowered = builder.select(letters, builder.or_(text, folds), text)
        stored = builder.store(lowered, pointer)
        stored.align = 1
        masks = [
            builder.bitcast(m, ir.IntType(64))
            for m in (builder.or_(letters, digits), spaces, strange)
        ]
        return context.make_tuple(builder, signature.return_type, masks)

    return types.UniTuple(types.uint64, 3)(data, types.intp, types.uint8), build
