"""The error tree. Each error says what was found, what was expected and what to do.

EdgecoreError
├── ConfigError            a file that a person wrote is wrong: file, key path, found, expected
├── TopicError             a topic name or filter that MQTT does not allow
├── NotAuthorizedError     a principal may not do this
├── ProtocolError          a peer (remote) or we (local) broke MQTT
│   ├── LocalProtocolError
│   └── RemoteProtocolError    carries the reason code that MQTT names
├── RefusedError           a bound was reached and the queue's rule is "refuse"
├── StoreError             the database cannot do what was asked
├── CloudError             the cloud link
│   ├── TransientCloudError    try again later
│   ├── PermanentCloudError    trying again cannot help
│   └── CredentialsError       it gives no AWS credentials; carries HTTP's status
├── FunctionError          user code
│   ├── FunctionTimeoutError
│   └── FunctionCrashedError
├── ModelError             a model that cannot be loaded or understood
├── FrameSourceError       a camera or file that gives no frames
├── DeploymentError        carries the step that failed
├── CertificateError       a certificate, key or signing request that cannot be used
├── OutboxError            a message of the outbox that is not there, or that cannot be done to what was asked
├── PasswordError          a password that no device may be given
└── UnavailableError       an optional part is not installed; says how to install it
"""

from __future__ import annotations


class EdgecoreError(Exception):
    """Root of all errors that edgecore raises on purpose."""


class ConfigError(EdgecoreError):
    """A configuration file is wrong.

    `file` is the path as the user gave it, `key` the dotted key path in it, `found` what stands
    there, `expected` what should, `hint` a suggestion ("did you mean ...?") or "".
    """

    def __init__(self, file: str, key: str, found: str, expected: str, hint: str = "") -> None:
        self.file = file
        self.key = key
        self.found = found
        self.expected = expected
        self.hint = hint
        where = f"{file}: {key}" if key else file
        text = f"{where}: found {found}, expected {expected}"
        super().__init__(f"{text}. {hint}" if hint else text)


class TopicError(EdgecoreError):
    """A topic name or topic filter that MQTT does not allow."""


class NotAuthorizedError(EdgecoreError):
    """A principal asked for something that no route or rule allows."""


class ProtocolError(EdgecoreError):
    """MQTT was broken, by the peer (remote) or by us (local)."""


class LocalProtocolError(ProtocolError):
    """Our own code asked the protocol for something illegal: a bug here."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. `reason_code` is the one that MQTT 5 section 2.4 names."""

    def __init__(self, reason_code: int, text: str) -> None:
        self.reason_code = reason_code
        super().__init__(text)


class RefusedError(EdgecoreError):
    """A durable queue is full and its rule is "refuse": nothing was stored."""


class StoreError(EdgecoreError):
    """The database cannot do what was asked."""


class CloudError(EdgecoreError):
    """The cloud link failed."""


class TransientCloudError(CloudError):
    """Try again later: the link or the service is down for now."""


class PermanentCloudError(CloudError):
    """Trying the same again cannot help."""


class CredentialsError(CloudError):
    """The cloud gives no AWS credentials. `status`: HTTP's, 0 when it could not be asked."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class FunctionError(EdgecoreError):
    """User code failed. `error_type` and `trace` are what the worker reported."""

    def __init__(self, message: str, error_type: str = "", trace: tuple[str, ...] = ()) -> None:
        self.error_type = error_type
        self.trace = trace
        super().__init__(message)


class FunctionTimeoutError(FunctionError):
    """The handler did not return within the function's timeout; its worker was killed."""


class FunctionCrashedError(FunctionError):
    """The worker process ended during an invocation."""


class ModelError(EdgecoreError):
    """A model cannot be loaded, or nothing here knows how to decode its outputs."""


class FrameSourceError(EdgecoreError):
    """A camera, file or folder gives no frames."""


class DeploymentError(EdgecoreError):
    """A deployment failed. `step` names where."""

    def __init__(self, step: str, text: str) -> None:
        self.step = step
        super().__init__(f"{step}: {text}")


class CertificateError(EdgecoreError):
    """A certificate, key or signing request cannot be used."""


class OutboxError(EdgecoreError):
    """A message that was set aside is not there, or not what was asked can be done to it."""


class PasswordError(EdgecoreError):
    """A password that no device may be given."""


class UnavailableError(EdgecoreError):
    """An optional part is not installed. The text says how to install it."""
