from edgecore.base.group import NO_GROUP, CameraSpec, FunctionSpec, Group


def test_an_empty_group_has_nothing_to_run():
    assert NO_GROUP.deployment == 0
    assert NO_GROUP.group == Group("")


def test_specs_have_the_defaults_that_the_reference_states():
    assert CameraSpec("c", "synthetic:traffic", "t", "m").every == 0.1
    function = FunctionSpec("f", "src", "app.handler")
    assert (function.timeout, function.isolation, function.runtime) == (3.0, "none", "python")
