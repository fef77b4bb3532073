from edgecore.store.reserve import Reserve


def test_real_blocks_are_held_and_given_back(tmp_path):
    reserve = Reserve(tmp_path / "r", 64 * 1024)
    assert reserve.hold()
    assert reserve.hold()
    assert (tmp_path / "r").stat().st_blocks * 512 >= 64 * 1024
    assert reserve.release()
    assert not reserve.release()
    assert not (tmp_path / "r").exists()


def test_no_room(tmp_path):
    reserve = Reserve(tmp_path / "r", 2**62)
    assert not reserve.hold()
    assert not reserve.held
    assert not (tmp_path / "r").exists()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("not yours")
    (tmp_path / "r").symlink_to(tmp_path / "victim")
    reserve = Reserve(tmp_path / "r", 4096)
    assert not reserve.hold()
    assert reserve.hold()  # the link was taken away
    assert (tmp_path / "victim").read_text() == "not yours"
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


def test_none_wanted(tmp_path):
    reserve = Reserve(tmp_path / "r", 0)
    assert reserve.hold()
    assert not (tmp_path / "r").exists()
    assert reserve.release()
