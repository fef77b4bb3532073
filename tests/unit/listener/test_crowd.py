from edgecore.listener.crowd import Crowd


def test_each_key_is_counted_apart_and_forgotten_when_nobody_is_left():
    crowd = Crowd()
    crowd.enter("a")
    crowd.enter("a")
    crowd.enter("b")
    assert (crowd.count("a"), crowd.count("b"), crowd.count("c")) == (2, 1, 0)
    crowd.leave("a")
    crowd.leave("b")
    assert (crowd.count("a"), crowd.count("b")) == (1, 0)
    assert len(crowd) == 1
