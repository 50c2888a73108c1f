"""What becomes of a header block on its way from an SDK of the original to the engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memphis.wire import headers
from memphis_broker.legacy.ingest import with_engine_id

VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
KEYS = st.from_regex(r"[!-9;-~]{1,20}", fullmatch=True)


@given(st.dictionaries(KEYS, VALUES, max_size=5), VALUES)
def test_the_id_is_also_where_the_engine_looks(others, message_id):
    """Nothing else of the block changes, and it can still be read."""
    own = {
        key: value for key, value in others.items() if key.lower() not in {"msg-id", "nats-msg-id"}
    }
    block = headers.encode_block({**own, "msg-id": message_id})
    found = with_engine_id(block)
    bare = message_id.encode().strip()
    added = {"Nats-Msg-Id"} if bare else set()
    before = headers.decode_block(block)
    after = headers.decode_block(found)
    assert set(after) - set(before) == added
    assert {key: after[key] for key in before} == before
    if added:
        assert after["Nats-Msg-Id"].encode().strip() == bare


@pytest.mark.parametrize(
    "block",
    [
        b"NATS/1.0\r\nkey: value\r\n\r\n",
        b"NATS/1.0\r\nMsg-Id: 1\r\n\r\n",
        b"NATS/1.0\r\nmsg-id: \r\n\r\n",
        b"NATS/1.0\r\nkey: msg-id: 1\r\n\r\n",
        b"NATS/1.0\r\nmsg-id: 1\r\nNats-Msg-Id: 2\r\n\r\n",
    ],
)
def test_a_block_without_such_an_id_is_left_alone(block):
    """No id, one spelled otherwise, an empty one, and one that the engine knows already."""
    assert with_engine_id(block) == block


@given(
    st.lists(st.sampled_from([b"NATS/1.0", b"\r\n", b"msg-id:", b"1", b" ", b"Nats-Msg-Id:", b"x"]))
)
def test_any_block_comes_back(parts):
    """Whatever a stranger writes; the engine looks at none of it."""
    block = b"".join(parts)
    found = with_engine_id(block)
    assert found == block or found.startswith(block[:-2])
