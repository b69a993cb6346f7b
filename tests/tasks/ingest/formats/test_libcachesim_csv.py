"""Traces of libCacheSim: oracleGeneral, also against libCacheSim itself, and CSV."""

import struct

import numpy as np
import pytest

from schemas.errors import ConfigError, SourceError
from tasks.ingest.formats import identify, open_reading
from tasks.ingest.formats.oracle_general import RECORD
from tests.support.peer import needs_peer

COLUMNS = ["timestamp", "cache_name", "cache_key", "size_bytes", "load_time_ms", "was_hit"]


def trace(requests: int = 1_000) -> np.ndarray:
    """Made-up requests with the number of each object's next one, as libCacheSim counts them."""
    rng = np.random.default_rng(3)
    records = np.zeros(requests, RECORD)
    records["time"] = np.sort(rng.integers(0, 50, requests))
    records["object"] = rng.zipf(1.3, requests).astype(np.uint64) % np.uint64(97) + np.uint64(2**63)
    records["size"] = records["object"] % 50
    following: dict[int, int] = {}
    for number in range(requests - 1, -1, -1):
        records["next"][number] = following.get(int(records["object"][number]), -1)
        following[int(records["object"][number])] = number
    return records


@needs_peer
@pytest.mark.parametrize("name", ["w.oracleGeneral", "w.oracleGeneral.bin.zst", "w.oracleGeneral.gz"])
def test_a_trace_is_recorded_as_libcachesim_reads_it(name, binary_file, tmp_path, record, read):
    records = trace()
    assert record(binary_file(name, records.tobytes())).rows == len(records)
    plain = tmp_path / "same.oracleGeneral"
    plain.write_bytes(records.tobytes())
    import libcachesim

    options = libcachesim.ReaderInitParam(ignore_size_zero_req=False)
    theirs = libcachesim.TraceReader(str(plain), libcachesim.TraceType.ORACLE_GENERAL_TRACE, options)
    rows = read()
    assert rows["cache_name"].unique().tolist() == ["w"]
    ours = zip(rows["timestamp"] // 1_000_000, rows["cache_key"].map(int), rows["size_bytes"].fillna(0), strict=True)
    expected = [(one.clock_time, one.obj_id % 2**64, one.obj_size) for one in theirs]
    assert [(int(t), k, int(s)) for t, k, s in ours] == expected
    assert len(expected) == len(records)


def test_a_size_of_zero_is_unknown(binary_file, record, read):
    record(binary_file("w.oracleGeneral", struct.pack("<IQIqIQIq", 5, 2**64 - 1, 0, -1, 6, 1, 3, 2**63 - 1)))
    assert read()["cache_key"].tolist() == [str(2**64 - 1), "1"]
    assert read()["size_bytes"].isna().tolist() == [True, False]


@pytest.mark.parametrize("name", ["w.oracleGeneral", "w.oracleGeneral.zst", "w.oracleGeneral.gz"])
def test_a_trace_that_was_cut_is_one_line(name, binary_file, record, written_rows):
    with pytest.raises(SourceError, match=r"cut off: 19 bytes follow record 999, and a record has 24; copy it again"):
        record(binary_file(name, trace().tobytes()[:-5]))
    assert written_rows() == (0, 0)


@pytest.mark.parametrize("name", ["w.oracleGeneral.zst", "w.oracleGeneral.gz"])
def test_a_packed_trace_that_was_cut_is_one_line(name, binary_file, record, written_rows):
    path = binary_file(name, trace().tobytes())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match=r"ends too early|Truncated"):
        record(path)
    assert written_rows() == (0, 0)


@pytest.mark.parametrize(
    ("column", "value"), [("time", 0), ("next", 0), ("next", -2), ("next", 2**60)], ids=["time", "past", "-2", "far"]
)
def test_what_cannot_be_a_trace_is_not_taken_for_one(column, value, binary_file):
    records = trace(100)
    records["time"] += 1
    assert identify(binary_file("trace", records.tobytes())).kind == "oracle_general"
    records[column][50] = value
    with pytest.raises(SourceError, match="not recognised"):
        identify(binary_file("trace", records.tobytes()))


def test_a_name_of_a_trace_with_other_bytes_is_refused(binary_file, record):
    with pytest.raises(SourceError, match="not oracleGeneral: a next request does not come later"):
        record(binary_file("w.oracleGeneral", b"some text that goes on for a while, long enough "))


@pytest.mark.parametrize("requests", [2, 7, 2731, 5000])
def test_chunks_hold_each_request_once_whatever_their_size(requests, binary_file):
    records = trace(requests)
    for name in ("w", "w.gz"):
        source = identify(binary_file(name, records.tobytes()))
        reading = open_reading(source, {}, COLUMNS, chunk_rows=1_000)
        chunks = list(reading.chunks)
        assert reading.total_rows == (requests if name == "w" else None)
        assert [chunk.first_row for chunk in chunks] == list(range(1, requests + 1, 1_000))
        keys = [key for chunk in chunks for key in chunk.table["cache_key"].to_pylist()]
        assert keys == records["object"].tolist()


@pytest.mark.parametrize(
    ("name", "text", "mapping"),
    [
        ("a.csv", "1,x,10\n2,y,0\n", {}),
        ("a.csv", "1,x,10,7\n2,y,0,8\n", {}),
        ("a.csv", "time,obj_id,obj_size\n1,x,10\n2,y,0\n", {}),
        ("a.csv.gz", "next, time, obj_id, obj_size\n5, 1, x, 10\n6, 2, y, 0\n", {}),
        ("a.csv.zst", "x,10,1\ny,0,2\n", {"timestamp": "3", "key": "1", "size": "2"}),
        ("a.txt", "x,1,10\ny,2,0\n", {"cache_key": "1", "time": "2"}),
        ("a.csv", "when,what,size\n1,x,10\n2,y,0\n", {"timestamp": "when", "key": "2"}),
    ],
)
def test_csv_traces_are_read_by_place_by_name_and_by_number(name, text, mapping, text_file, ingest, read):
    ingest(text_file(name, text), format="libcachesim_csv", map=mapping)
    rows = read()
    assert rows["cache_key"].tolist() == ["x", "y"]
    assert rows["timestamp"].tolist() == [1_000_000, 2_000_000]
    assert rows["size_bytes"].isna().tolist() == [False, True]
    assert rows["size_bytes"].iloc[0] == 10


def test_numbers_alone_are_recognised_and_read(text_file, record, read):
    result = record(text_file("trace.csv", "1,17,10\n2,-3,0\n"))
    assert result.rows == 2
    assert read()["cache_key"].tolist() == ["17", "-3"]


@pytest.mark.parametrize(
    ("text", "mapping", "error", "told"),
    [
        ("1,x,10\n", {"key": "4"}, ConfigError, "has no column 4"),
        ("1,x,10\n", {"sise": "3"}, ConfigError, "takes no column sise"),
        ("when,what,size\n1,x,10\n", {}, SourceError, "no key column; it has when, what, size"),
        ("1\n2\n", {}, SourceError, "no key column; it has 1; name it with --map key=COLUMN"),
        ("1,x,10\n2,y\n", {}, SourceError, "Expected 3 columns, got 2"),
        ("1,x,10\nlate,y,10\n", {}, SourceError, "timestamp is no ISO 8601 moment: row 1 has '1'"),
        ("1,x,-4\n", {}, SourceError, "size_bytes must be >= 1: row 1 has '-4'"),
    ],
)
def test_a_csv_trace_that_cannot_be_read_is_one_line(text, mapping, error, told, text_file, ingest, written_rows):
    with pytest.raises(error, match=told):
        ingest(text_file("a.csv", text), format="libcachesim_csv", map=mapping)
    assert written_rows() == (0, 0)
