"""The context that a handler gets as its second argument: the fields of AWS Lambda. Worker side."""

from __future__ import annotations

import sys
import time

# What is running is what the active deployment holds; numbered versions are not built yet.
VERSION = "$LATEST"


class Identity:
    """Who called, for mobile applications. Always empty here, as on Greengrass."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self) -> None:
        self.cognito_identity_id: str | None = None
        self.cognito_identity_pool_id: str | None = None


class Client:
    """The calling application, for mobile applications. Always empty here."""

    __slots__ = ("app_package_name", "app_title", "app_version_code", "app_version_name", "installation_id")

    def __init__(self) -> None:
        self.installation_id: str | None = None
        self.app_title: str | None = None
        self.app_version_name: str | None = None
        self.app_version_code: str | None = None
        self.app_package_name: str | None = None


class ClientContext:
    """`custom["subject"]` is the topic that the event came on, as on Greengrass V1."""

    __slots__ = ("client", "custom", "env")

    def __init__(self, subject: str) -> None:
        self.custom: dict[str, str] = {"subject": subject} if subject else {}
        self.env: dict[str, str] = {}
        self.client = Client()


class LambdaContext:
    """What a handler may ask about its invocation."""

    __slots__ = (
        "_deadline",
        "aws_request_id",
        "client_context",
        "function_name",
        "function_version",
        "identity",
        "invoked_function_arn",
        "log_group_name",
        "log_stream_name",
        "memory_limit_in_mb",
        "tenant_id",
    )

    def __init__(self, name: str, memory: int, request_id: str, subject: str, remaining: float) -> None:
        self._deadline = time.monotonic() + remaining
        self.aws_request_id = request_id
        self.function_name = name
        self.function_version = VERSION
        self.invoked_function_arn = f"arn:aws:lambda:::function:{name}"
        self.memory_limit_in_mb = str(memory // (1024 * 1024))  # a text, in Lambda too
        self.log_group_name = f"/aws/lambda/{name}"
        self.log_stream_name = ""
        self.tenant_id: str | None = None
        self.identity = Identity()
        self.client_context = ClientContext(subject)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is killed, at least 0."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))

    def log(self, message: object) -> None:
        """Write to the function's log."""
        sys.stdout.write(f"{message}\n")
