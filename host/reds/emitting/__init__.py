"""Writes a compiled network as one TFLite model with the metadata entry `REDS`."""

from reds.emitting.c_array import write_c_array
from reds.emitting.file import annotate, emit, encode, extract, truncate
from reds.emitting.operations import write_operations

__all__ = ["annotate", "emit", "encode", "extract", "truncate", "write_c_array", "write_operations"]
