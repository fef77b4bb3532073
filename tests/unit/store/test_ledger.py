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
