from edgecore.lambdas.context import LambdaContext


def test_the_fields_of_lambda(capsys):
    context = LambdaContext("f", 128 * 1024 * 1024, "id", "a/b", 3.0)
    assert context.aws_request_id == "id"
    assert context.function_name == "f"
    assert context.function_version == "$LATEST"
    assert context.invoked_function_arn == "arn:aws:lambda:::function:f"
    assert context.memory_limit_in_mb == "128"
    assert context.log_group_name == "/aws/lambda/f"
    assert context.log_stream_name == ""
    assert context.identity.cognito_identity_id is None
    assert context.client_context.custom == {"subject": "a/b"}
    assert context.client_context.env == {}
    assert context.client_context.client.app_title is None
    assert 0 < context.get_remaining_time_in_millis() <= 3000
    context.log("hello")
    assert capsys.readouterr().out == "hello\n"


def test_time_that_is_up_is_zero_and_a_direct_call_has_no_subject():
    context = LambdaContext("f", 1, "id", "", -1.0)
    assert context.get_remaining_time_in_millis() == 0
    assert context.client_context.custom == {}
