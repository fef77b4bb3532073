from random import Random

from edgecore.listener.backlog import COMPACT_FROM, Backlog, Entry


def entry(number, size=10):
    return Entry(number, size, number % 0xFFFF + 1, 1 + number % 2)


def filled(count):
    backlog = Backlog()
    for number in range(count):
        backlog.append(entry(number))
    return backlog


def test_it_is_a_queue_that_knows_its_bytes():
    backlog = filled(3)
    assert (len(backlog), backlog.bytes, backlog.first()) == (3, 30, entry(0))
    assert [backlog.pop() for _ in range(3)] == [entry(0), entry(1), entry(2)]
    assert (len(backlog), backlog.bytes, list(backlog)) == (0, 0, [])


def test_the_largest_values_of_each_column_fit():
    backlog = Backlog()
    largest = Entry(2**63 - 1, 2**32 - 1, 0xFFFF, 0xFF)
    backlog.append(largest)
    assert backlog.pop() == largest


def test_one_may_be_taken_from_the_middle():
    backlog = filled(5)
    backlog.pop()
    assert backlog.pop(2) == entry(3)
    assert [each.id for each in backlog] == [1, 2, 4]
    assert backlog.bytes == 30


def test_the_first_ones_are_named_with_their_sizes():
    backlog = filled(3)
    backlog.pop()
    assert backlog.ids(1) == [(1, 10)]
    assert backlog.ids(9) == [(1, 10), (2, 10)]
    assert backlog.ids(0) == []


def test_unwanted_ones_are_taken_out_and_given_back():
    backlog = filled(6)
    backlog.pop()
    assert [each.id for each in backlog.remove(lambda number: number in (0, 2, 5))] == [2, 5]
    assert [each.id for each in backlog] == [1, 3, 4]
    assert (len(backlog), backlog.bytes) == (3, 30)


def test_what_has_gone_leaves_no_room_taken_for_ever():
    backlog = filled(COMPACT_FROM)
    for number in range(COMPACT_FROM, 20 * COMPACT_FROM):
        backlog.append(entry(number))
        assert backlog.pop() == entry(number - COMPACT_FROM)
    assert len(backlog) == COMPACT_FROM
    assert len(backlog._ids) <= 2 * COMPACT_FROM


def test_it_does_what_a_list_does():
    random, backlog, model, number = Random(1), Backlog(), [], 0
    for _ in range(20_000):
        if not model or random.random() < 0.52:
            number += 1
            backlog.append(entry(number, number % 7))
            model.append(entry(number, number % 7))
        else:
            index = random.choice((0, 0, 0, random.randrange(len(model))))
            assert backlog.pop(index) == model.pop(index)
        assert len(backlog) == len(model)
    assert list(backlog) == model
    assert backlog.bytes == sum(each.size for each in model)
