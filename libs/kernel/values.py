"""Records that nobody changes, cheap to make.

A frozen dataclass takes twice as long to make as a plain one, and a reserve makes some
sixty. Type checkers see the standard decorator and hold `frozen`; at run time it is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    T = TypeVar("T")

    def dataclass(*, frozen: bool = False, **rest: Any) -> Callable[[type[T]], type[T]]:
        """See `dataclasses.dataclass`; equality and hash are those of a frozen one."""
        return dataclasses.dataclass(unsafe_hash=frozen, **rest)


__all__ = ["dataclass"]
