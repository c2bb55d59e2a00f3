"""BLAS has one thread for small products, and its own number again afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from sklearn2rknn.checking.blas_threads import SMALL, single_blas_thread


def threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("needs a BLAS that takes two threads")
    before = threads()
    yield
    assert threads() == before


def test_small_products_take_one_thread() -> None:
    with single_blas_thread(SMALL):
        assert threads() == {1}


def test_large_products_keep_theirs() -> None:
    before = threads()
    with single_blas_thread(SMALL + 1):
        assert threads() == before


def test_an_error_restores_the_threads() -> None:
    with pytest.raises(KeyError), single_blas_thread(1):
        raise KeyError


@pytest.mark.parametrize("first", [True, False], ids=["first in leaves first", "first in leaves last"])
def test_users_in_several_threads_restore_them(first: bool) -> None:
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with single_blas_thread(1):
            inside.set()
            leave.wait(30)

    other = threading.Thread(target=stay)
    if first:
        with single_blas_thread(1):
            other.start()
            assert inside.wait(30)
    else:
        other.start()
        assert inside.wait(30)
        with single_blas_thread(1):
            pass
    leave.set()
    other.join()
