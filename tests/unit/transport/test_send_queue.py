"""The send queue's own arithmetic: order, pieces, and what is known to be written."""

from __future__ import annotations

from memphis.transport.receipt import Receipt
from memphis.transport.send_queue import SendQueue


def receipt(token: int, size: int = 100) -> Receipt:
    made = Receipt()
    made.token = token
    made.frame = b"%0*d" % (size, token)
    return made


def add(queue: SendQueue, *receipts: Receipt) -> None:
    for one in receipts:
        queue.new.append(one)
        queue.bytes += len(one.frame)


def test_held_messages_come_first_and_count_as_written() -> None:
    """A message that was held back is written with its token, so it may be stored from then on."""
    queue = SendQueue()
    queue.add_again(receipt(7))
    add(queue, receipt(9))
    assert [int(frame) for frame in queue.take()] == [7, 9]
    assert (queue.first_unwritten, queue.bytes, queue.take()) == (10, 0, [])
    queue.add_again(receipt(3))
    queue.take()
    assert queue.first_unwritten == 10
    queue.add_again(receipt(12))
    queue.take()
    assert queue.first_unwritten == 13


def test_a_piece_at_a_time() -> None:
    """Large messages leave one by one, and only those that left count as written."""
    queue = SendQueue()
    add(queue, *(receipt(token, 400_000) for token in range(5)))
    taken = [len(queue.take()) for _ in range(4)]
    assert taken == [2, 2, 1, 0]
    assert (queue.first_unwritten, queue.bytes) == (5, 0)
    add(queue, *(receipt(token, 400_000) for token in range(5, 8)))
    queue.take()
    assert (queue.first_unwritten, queue.bytes) == (7, 400_000)


def test_failed_and_answered_messages_leave_nothing() -> None:
    """What failed is dropped; what was answered while it waited gave up its frame; no byte remains."""
    queue = SendQueue()
    receipts = [receipt(token) for token in range(6)]
    add(queue, *receipts)
    queue.drop({1, 4})
    assert queue.bytes == 400
    receipts[2].frame = b""
    assert b"".join(queue.take()) == b"".join(receipts[token].frame for token in (0, 3, 5))
    assert (queue.bytes, queue.first_unwritten) == (0, 6)


def test_a_new_connection_gets_everything_in_order() -> None:
    """After a restart the order is that of the first time, and nothing is forgotten as written."""
    queue = SendQueue()
    receipts = [receipt(token) for token in range(4)]
    add(queue, *receipts)
    queue.take()
    queue.clear()
    queue.restart(receipts[1:])
    assert [int(frame) for frame in queue.take()] == [1, 2, 3]
    assert queue.first_unwritten == 4
