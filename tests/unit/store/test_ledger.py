from edgecore.store.ledger import COMPACT_FROM, Ledger


def test_counts_and_order():
    ledger = Ledger()
    for identifier in (3, 5, 9):
        ledger.add(identifier, identifier * 10)
    assert (ledger.count, ledger.bytes, ledger.oldest()) == (3, 170, 3)
    assert ledger.remove(5)
    assert not ledger.remove(5)
    assert not ledger.remove(4)
    assert not ledger.remove(100)
    assert 5 not in ledger
    assert 9 in ledger
    assert ledger.remove(3)
    assert (ledger.count, ledger.bytes, ledger.oldest()) == (1, 90, 9)
    assert ledger.remove(9)
    assert ledger.oldest() is None


def test_holes_are_forgotten():
    ledger = Ledger()
    for identifier in range(COMPACT_FROM):
        ledger.add(identifier, 1)
    for identifier in range(1, COMPACT_FROM):
        assert ledger.remove(identifier)
    assert len(ledger._ids) < COMPACT_FROM
    assert ledger.oldest() == 0
    assert ledger.bytes == 1


def test_a_record_leaves_with_its_tag():
    ledger = Ledger()
    for identifier in (3, 5, 9):
        ledger.add(identifier, 1, tag=identifier * 7)
    assert [ledger.pop(one) for one in (5, 5, 3, 4, 9)] == [35, None, 21, None, 63]


def test_the_oldest_that_is_not_kept():
    ledger = Ledger()
    for identifier in (3, 5, 9):
        ledger.add(identifier, 1)
    ledger.remove(5)
    assert ledger.oldest(lambda one: one == 3) == 9
    assert ledger.oldest(lambda _one: True) is None


def test_what_left_at_the_front_is_forgotten_and_the_rest_keeps_its_tags():
    ledger = Ledger()
    for identifier in range(COMPACT_FROM * 2):
        ledger.add(identifier, 1, tag=identifier)
    for identifier in range(COMPACT_FROM * 2 - 3):
        assert ledger.pop(identifier) == identifier
    assert len(ledger._ids) <= COMPACT_FROM
    assert [ledger.pop(COMPACT_FROM * 2 - n) for n in (3, 2, 1)] == [COMPACT_FROM * 2 - n for n in (3, 2, 1)]
