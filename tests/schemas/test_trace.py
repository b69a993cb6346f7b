"""The Trace: its slices, and what its fingerprint tells apart."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from schemas.errors import TraceError
from schemas.trace import Trace


@pytest.fixture
def trace(make_trace: Callable[..., Trace]) -> Trace:
    """Four requests with a number and a text each."""
    plain = make_trace([0, 1, 0, 2], columns={"wind": [1, 2, 3, np.nan]})
    codes = np.array([[0], [1], [-1], [0]], np.int32)
    return replace(plain, texts=codes, text_names=("area",), text_values=(("DK1", "DK2"),))


def test_a_slice_takes_its_texts_along(trace: Trace) -> None:
    part = trace[1:3]
    assert part.texts.tolist() == [[1], [-1]]
    assert (part.text_names, part.text_values) == (("area",), (("DK1", "DK2"),))


def test_texts_are_part_of_the_fingerprint(trace: Trace) -> None:
    changes: list[dict[str, object]] = [
        {"texts": np.array([[0], [1], [-1], [1]], np.int32)},
        {"text_names": ("region",)},
        {"text_values": (("DK1", "DK3"),)},
        {"text_names": (), "text_values": ()},
    ]
    digests = {trace.sha256, *(replace(trace, **change).sha256 for change in changes)}
    assert len(digests) == 1 + len(changes)
    assert replace(trace).sha256 == trace.sha256


def test_texts_of_another_length_are_refused(trace: Trace) -> None:
    with pytest.raises(TraceError, match="column texts has 3 values for 4 requests"):
        replace(trace, texts=trace.texts[:3])


def test_no_array_of_a_trace_can_be_written_to(trace: Trace) -> None:
    with pytest.raises(ValueError, match="read-only"):
        trace.texts[0] = 1
