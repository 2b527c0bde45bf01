"""Gives a TFLite model that another tool made its metadata entry `REDS`, so that libreds runs it."""

from reds.adopting.file import adopt, with_plan

__all__ = ["adopt", "with_plan"]
