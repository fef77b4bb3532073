from edgecore.mqtt import packets as p


def test_names_stand_at_their_packet_types():
    assert p.NAMES[p.CONNECT] == "CONNECT"
    assert p.NAMES[p.PUBLISH] == "PUBLISH"
    assert p.NAMES[p.AUTH] == "AUTH"
    assert len(p.NAMES) == 16


def test_defaults_share_nothing():
    p.PubAck(1).properties[0x1F] = "x"
    assert p.PubAck(2).properties == {}
