"""A stream of Arrow arrays whose batches are made when they are asked for; pyarrow itself streams tables only."""

import ctypes
from collections.abc import Callable

import pyarrow as pa

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
ARROW_ARRAY_BYTES = 80  # of the C data interface: five int64 and five pointers


class _Stream(ctypes.Structure):
    """`ArrowArrayStream` of the C stream interface."""

    _fields_ = [
        ("get_schema", CALLBACK),
        ("get_next", CALLBACK),
        ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)),
        ("release", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("private_data", ctypes.c_void_p),
    ]


class LazyStream:
    """Batches of `make(number)` of the Arrow type `kind`; `pulled` counts those that were asked for."""

    def __init__(self, make: Callable[[int], pa.Array], kind: pa.DataType, batches: int) -> None:
        self.make, self.kind, self.batches, self.pulled = make, kind, batches, 0
        self.stream = _Stream(CALLBACK(self._schema), CALLBACK(self._next), _Stream._fields_[2][1](lambda _: b"failed"))
        self.stream.release = _Stream._fields_[3][1](self._release)

    def _schema(self, _stream: int, out: int) -> int:
        pa.field("", self.kind)._export_to_c(out)
        return 0

    def _next(self, _stream: int, out: int) -> int:
        if self.pulled == self.batches:
            ctypes.memset(out, 0, ARROW_ARRAY_BYTES)  # an array without a release callback ends the stream
            return 0
        self.pulled += 1
        self.make(self.pulled)._export_to_c(out)
        return 0

    def _release(self, stream: int) -> None:
        ctypes.cast(stream, ctypes.POINTER(ctypes.c_void_p))[3] = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        capsule = ctypes.pythonapi.PyCapsule_New
        capsule.restype, capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return capsule(ctypes.addressof(self.stream), b"arrow_array_stream", None)
