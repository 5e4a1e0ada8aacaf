"""Python's comparisons as filters of a store.

Frameworks define their filters by Python's operators, for which True equals 1. A store keeps kinds
of values apart; so what Python takes together is asked for together.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

Filter = dict[str, Any]
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


def compared(field: Any, op: str, value: Any) -> Filter | None:
    """The filter for `found op value`, or None where a store has no filter that means the same.

    field  as in a store's filters
    op     == != > >= < <= in "not in"
    What is not there equals None and is in no order with anything; where Python cannot order two
    values and raises, the filter does not hold.
    """
    if op in ("!=", "not in"):
        same = compared(field, "==" if op == "!=" else "in", value)
        return None if same is None else {"not": same}
    if op in ("in", "=="):
        several = value if op == "in" else [value]
        return _one_of(field, several) if isinstance(several, list) else None
    if isinstance(value, str):
        return {"field": field, "op": op, "value": value}
    if op not in _ORDERS or not _is_number(value):
        return None
    tests = [{"field": field, "op": op, "value": _plain(value)}]
    tests += [_equal(field, flag) for flag in (False, True) if _ORDERS[op](flag, value)]
    return {"or": tests}


def _one_of(field: Any, values: Sequence[Any]) -> Filter | None:
    tests: list[Filter] = []
    plain: list[Any] = []
    for value in values:
        if value is None:
            tests += [_equal(field, None), {"field": field, "op": "exists", "value": False}]
        elif isinstance(value, str):
            plain.append(value)
        elif _is_number(value):
            plain.append(_plain(value))
            tests += [_equal(field, flag) for flag in (False, True) if flag == value]
        else:
            return None
    if plain:
        one = _equal(field, plain[0])
        tests.append(one if len(plain) == 1 else {"field": field, "op": "in", "value": plain})
    return tests[0] if len(tests) == 1 else {"or": tests}


def _equal(field: Any, value: Any) -> Filter:
    return {"field": field, "op": "==", "value": value}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value
