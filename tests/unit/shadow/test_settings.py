from edgecore.shadow import ShadowSettings


def test_defaults_are_those_of_aws():
    assert ShadowSettings().document_bytes == 8192
