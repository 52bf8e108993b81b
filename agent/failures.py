"""What a failed call means: may it be sent again, when, and what a person must be told.

    diagnose(error, settings) -> ModelError      with `.kind`, `.retryable`, `.wait` (s, as the server asked)

Every shape that sdks.md 1.3 lists is covered: statuses, error events inside a 200 answer, cuts and time-outs of the
transport, answers that are incomplete or no answers.
"""

from __future__ import annotations

import email.utils
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ml_engineer.agent.stream import BrokenAnswer, ErrorEvent

if TYPE_CHECKING:
    from ml_engineer.agent.client import Settings

# The server's types of errors for which sending the same request again is of no use.
_FINAL_TYPES = {
    "authentication_error": "key",
    "permission_error": "permission",
    "not_found_error": "model",
    "invalid_request_error": "request",
    "request_too_large": "too long",
    "billing_error": "spending limit",
}
_FINAL_STATUS = {400: "request", 401: "key", 402: "spending limit", 403: "permission", 404: "model", 413: "too long"}
_RETRIED_STATUS = frozenset({408, 409, 429})


class ModelError(Exception):
    """A call of the model that failed. The message is for the user; the conversation is as it was before the call.

    `kind` is a word of this module's tables, or "overloaded", "rate limit", "server", "unreachable", "time-out",
    "broken answer", "certificate". `wait` is how long the server asked to wait, in seconds.
    """

    def __init__(
        self, kind: str, message: str, *, retryable: bool = False, wait: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
        self.wait = wait
        self.status = status


def expected_failures() -> tuple[type[Exception], ...]:
    """What sending a request and reading its answer may raise when something outside this process is wrong."""
    import anthropic
    import httpx2

    return (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError, BrokenAnswer, ErrorEvent, OSError)


def diagnose(error: Exception, settings: Settings) -> ModelError:
    """Say what `error` means for a call to the model of `settings`."""
    import anthropic
    import httpx2

    if isinstance(error, BrokenAnswer):
        return ModelError("broken answer", f"{settings.place}: {error}", retryable=True)
    if isinstance(error, ErrorEvent):
        return _from_type(error.kind, str(error), settings)
    if isinstance(error, anthropic.APIStatusError):
        if error.status_code < 400:  # an error event that the SDK itself has read
            return _from_type(error.type, error.message, settings)
        return _from_status(error, settings)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return ModelError("certificate", f"the certificate of {settings.place} cannot be verified: {error}")
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        silent = f"{settings.place} was silent for {settings.profile.idle:.0f} s, or could not be connected to in time"
        return ModelError("time-out", silent, retryable=True)
    if isinstance(error, anthropic.APIConnectionError | httpx2.HTTPError | httpx2.StreamError | OSError):
        refused = any(isinstance(cause, httpx2.ConnectError | ConnectionRefusedError) for cause in _causes(error))
        if refused:
            advice = "is it running, and is ANTHROPIC_BASE_URL right?" if settings.base_url else "is there a network?"
            return ModelError("unreachable", f"{settings.place} cannot be reached; {advice}", retryable=True)
        why = str(error.__cause__ or error) or type(error).__name__
        return ModelError("broken answer", f"{settings.place} broke the connection: {why}", retryable=True)
    return ModelError("key", f"{settings.place} cannot be called: {error}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _from_type(kind: str | None, message: str, settings: Settings) -> ModelError:
    """An error event in the middle of an answer: only its type tells what it is, and some servers give none."""
    if kind in _FINAL_TYPES:
        return ModelError(_FINAL_TYPES[kind], f"{settings.place}: {message}")
    word = {"overloaded_error": "overloaded", "rate_limit_error": "rate limit"}.get(kind or "", "server")
    return ModelError(word, f"{settings.place} gave up in the middle of its answer: {message}", retryable=True)


def _from_status(error: object, settings: Settings) -> ModelError:
    import anthropic

    assert isinstance(error, anthropic.APIStatusError)
    status, headers, message = error.status_code, error.response.headers, _message(error)
    kind = _FINAL_TYPES.get(str(error.type)) or _FINAL_STATUS.get(status)
    if kind is None:
        kind = {429: "rate limit", 529: "overloaded"}.get(status, "server" if status >= 500 else "request")
    retryable = status in _RETRIED_STATUS or status >= 500
    if headers.get("x-should-retry") in ("true", "false"):
        retryable = headers["x-should-retry"] == "true"
    if kind == "spending limit" or "spend_limit" in (error.error_code or ""):
        kind, retryable = "spending limit", False
    if kind == "request" and "prompt is too long" in message.lower():
        kind = "too long"
    return ModelError(
        kind, _words(kind, status, message, settings), retryable=retryable, wait=_asked_wait(headers), status=status
    )


def _message(error: object) -> str:
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(inner, dict) and inner.get("message"):
        return str(inner["message"])
    return " ".join(str(body if isinstance(body, str) else error).split())[:200]


def _words(kind: str, status: int, message: str, settings: Settings) -> str:
    place, model = settings.place, settings.model
    match kind:
        case "key":
            return f"{place} does not accept the key ({message}); check ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN"
        case "permission":
            return f"the key may not use {model} at {place} ({message})"
        case "model":
            return f"{place} does not know the model {model} ({message}); check --model and the base URL"
        case "too long":
            return f"the conversation is too long for {model} ({message})"
        case "spending limit":
            return f"{place} refuses because of a spending limit ({message})"
        case "rate limit" | "overloaded" | "server":
            return f"{place} answers {status}, {kind}: {message}"
        case _:
            return f"{place} rejects the request, {status}: {message}"


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after` (seconds or a date); None where there is nothing usable."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except ValueError:
                continue
        if seconds == seconds:  # "nan" is a float too
            return max(0.0, seconds)
    return None
