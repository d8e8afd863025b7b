"""Tests of reading ahead in a thread."""

import threading
from collections.abc import Iterator

import pytest

from cmcgan_core.utils.read_ahead import AHEAD, read_ahead


def test_results_come_in_order() -> None:
    assert list(read_ahead(lambda n: n * n, range(10))) == [n * n for n in range(10)]


def test_only_a_few_results_are_read_ahead() -> None:
    asked: list[int] = []

    def arguments() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    results = read_ahead(str, arguments())
    assert [next(results), next(results)] == ["0", "1"]
    assert len(asked) == 2 + AHEAD
    results.close()


def test_reading_runs_while_the_caller_computes() -> None:
    second_was_read = threading.Event()

    def read(number: int) -> int:
        if number == 1:
            second_was_read.set()
        return number

    results = read_ahead(read, range(3))
    assert next(results) == 0
    assert second_was_read.wait(timeout=10)
    results.close()


def test_an_error_is_raised_where_its_result_is_due() -> None:
    results = read_ahead(lambda n: 1 // n, [1, 1, 0, 1])
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_caller_that_stops_early_leaves_no_thread() -> None:
    results = read_ahead(str, range(100))
    next(results)
    results.close()
    assert not any("read-ahead" in thread.name for thread in threading.enumerate())
