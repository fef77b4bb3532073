from edgecore.listener.pool import Pool


class Queue:
    def __init__(self, pool, *sizes):
        self.pool, self.sizes, self.looked_at = pool, list(sizes), 0
        pool.bytes += sum(sizes)
        pool.join(self)

    @property
    def waiting_bytes(self):
        self.looked_at += 1
        return sum(self.sizes)

    def give_way(self):
        self.pool.bytes -= self.sizes.pop(0)


def test_nobody_gives_way_while_there_is_room():
    pool = Pool(100)
    queue = Queue(pool, 40, 50)
    assert pool.make_room(10)
    assert queue.sizes == [40, 50]


def test_the_fullest_gives_way_its_oldest_first():
    pool = Pool(100)
    small, large = Queue(pool, 30), Queue(pool, 10, 20, 30)
    assert pool.make_room(15)
    assert (small.sizes, large.sizes) == ([30], [20, 30])


def test_when_the_fullest_is_no_longer_it_the_next_one_is_looked_for():
    pool = Pool(100)
    first, second = Queue(pool, 26, 26), Queue(pool, 24, 24)
    assert pool.make_room(50)
    assert (first.sizes, second.sizes) == ([26], [24])


def test_not_all_are_looked_at_for_each_message():
    pool = Pool(1000)
    others = [Queue(pool, 1) for _ in range(100)]
    large = Queue(pool, *[9] * 100)
    for _ in range(90):
        assert pool.make_room(9)
        pool.bytes += 9
    assert len(large.sizes) == 10
    assert {each.looked_at for each in others} == {1}


def test_what_cannot_be_made_room_for_costs_nobody_anything():
    pool = Pool(100)
    queue = Queue(pool, 10, 10)
    pool.bytes += 60  # in flight
    assert not pool.make_room(50)
    assert queue.sizes == [10, 10]
    assert pool.make_room(40)
    assert queue.sizes == []
    assert not Pool(100).make_room(101)


def test_a_queue_that_has_left_does_not_give_way():
    pool = Pool(100)
    gone, stays = Queue(pool, 45, 5), Queue(pool, 20, 20)
    assert pool.make_room(15)
    assert gone.sizes == [5]
    pool.leave(gone)
    assert pool.make_room(60)
    assert (gone.sizes, stays.sizes) == ([5], [20])
