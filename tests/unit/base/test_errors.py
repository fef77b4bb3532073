from edgecore.base import errors


def test_a_config_error_says_where_what_and_what_instead():
    error = errors.ConfigError(
        "group.toml", "cameras.north.evry", "an unknown key", "one of: every", "Did you mean 'every'?"
    )
    assert (
        str(error)
        == "group.toml: cameras.north.evry: found an unknown key, expected one of: every. Did you mean 'every'?"
    )
    assert (
        str(errors.ConfigError("x.toml", "", "no file", "a file")) == "x.toml: found no file, expected a file"
    )


def test_errors_carry_what_callers_decide_on():
    assert errors.RemoteProtocolError(0x81, "bad").reason_code == 0x81
    assert errors.DeploymentError("stage", "no space").step == "stage"
    assert errors.FunctionError("boom", "ValueError", ("line",)).trace == ("line",)


def test_every_error_is_in_the_tree_that_the_module_draws():
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
    ]
    assert all(issubclass(each, errors.EdgecoreError) for each in classes)
    assert [each.__name__ for each in classes if each.__name__ not in (errors.__doc__ or "")] == []
