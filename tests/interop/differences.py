"""Every difference that is meant, with its reason. What is not here must be the same to the byte."""

from typing import NamedTuple


class Difference(NamedTuple):
    reason: str
    published: object
    ours: object


DIFFERENCES: dict[str, Difference] = {}
