"""A set with marks against Python sets."""

from hypothesis import given
from hypothesis import strategies as st

from cachesim.structures.marked_set import MARKED, MEMBERS, discard, empty_marked, insert, is_marked, mark, unmark

steps = st.lists(st.tuples(st.sampled_from(["insert", "discard", "mark", "unmark"]), st.integers(0, 9)), max_size=80)


@given(steps=steps)
def test_a_set_with_marks_equals_two_sets(steps: list[tuple[str, int]]) -> None:
    members, present, marked = empty_marked(10), set[int](), set[int]()
    for step, key in steps:
        if step == "insert" and key not in present:
            insert(members, key)
            present.add(key)
        elif step == "discard" and key in present:
            discard(members, key)
            present.discard(key)
            marked.discard(key)
        elif step == "mark" and key in present - marked:
            mark(members, key)
            marked.add(key)
        elif step == "unmark" and key in marked:
            unmark(members, key)
            marked.discard(key)
        assert set(members.key[: members.size[MEMBERS]].tolist()) == present
        assert set(members.key[: members.size[MARKED]].tolist()) == marked
        assert all(members.key[members.slot[k]] == k for k in present)
        assert [bool(is_marked(members, k)) for k in sorted(present)] == [k in marked for k in sorted(present)]
