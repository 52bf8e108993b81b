"""The way to a model: which one, where, and one client for all runs of a process.

    settings = find_settings(model=None)      None: no key and no base URL, the no-model mode
    client = open_client(settings)            imports the SDK, so only when a model is really used
    await ping(client)                        one tiny call, for doctor

A setting comes from the flag, else from ML_ENGINEER_MODEL, _PROVIDER, _BASE_URL, _PROFILE, _EFFORT, _MAX_TOKENS or
_WINDOW, else from the table [model] of config.toml (name, provider, …), else from what other tools share:
ANTHROPIC_MODEL and ANTHROPIC_BASE_URL. Keys come from the environment only.
"""

from __future__ import annotations

import gc
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from ml_engineer.agent.lanes import Lanes
from ml_engineer.agent.listener import Listener
from ml_engineer.agent.profiles import ANTHROPIC, COMPATIBLE, EFFORTS, PROFILES, Profile
from ml_engineer.agent.stream import Assembler, BrokenAnswer, EventParser, TurnResult

if TYPE_CHECKING:
    from anthropic import AsyncStream

    from ml_engineer.agent.transcript import Transcript

DEFAULT_MODEL = "claude-sonnet-5-5"  # at api.anthropic.com; anywhere else the model must be named
PROVIDERS = ("anthropic", "bedrock", "vertex", "foundry")
_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE")
_CONFIG_KEYS = frozenset({"name", "provider", "base_url", "profile", "effort", "max_tokens", "window"})
_EXTRAS = {"bedrock": "bedrock", "vertex": "vertex"}


class ConfigError(Exception):
    """The configuration of the model cannot be used. The message says which setting, and what it should be."""


@dataclass(frozen=True)
class Settings:
    """Which model, where, and how it is asked."""

    model: str
    provider: str = "anthropic"
    base_url: str | None = None
    profile: Profile = ANTHROPIC
    effort: str | None = None
    max_tokens: int = ANTHROPIC.max_tokens
    window: int | None = None  # tokens of the model's context; None where nobody said

    @property
    def place(self) -> str:
        """The server, for messages."""
        return self.base_url or ("api.anthropic.com" if self.provider == "anthropic" else self.provider)


def config_path() -> Path:
    """`config.toml` in ML_ENGINEER_HOME, else in the platform's folder for the user's configuration."""
    home = os.environ.get("ML_ENGINEER_HOME")
    folder = Path(home).expanduser() if home else Path(platformdirs.user_config_dir("ml-engineer", appauthor=False))
    return folder / "config.toml"


def read_config(path: Path) -> dict[str, Any]:
    """The table [model] of the file, empty where there is none. Raises ConfigError, naming the file and the line."""
    try:
        config = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    table = config.get("model", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: model must be a table: [model], and below it name = {table!r}")
    for key in table:
        if key not in _CONFIG_KEYS:
            known = ", ".join(sorted(_CONFIG_KEYS))
            raise ConfigError(f"{path}: there is no setting {key} in [model]; there are {known}")
    return table


def find_settings(model: str | None = None, environ: Mapping[str, str] | None = None) -> Settings | None:
    """The settings from flag, environment and file, or None where nothing points to a model. Raises ConfigError."""
    env = os.environ if environ is None else environ
    config = read_config(config_path())

    def pick(name: str, shared: str | None = None) -> Any:
        found = env.get(f"ML_ENGINEER_{name.upper()}") or config.get("name" if name == "model" else name)
        return found or (env.get(shared) if shared else None) or None

    provider = pick("provider") or "anthropic"
    if provider not in PROVIDERS:
        raise ConfigError(f"provider is {provider!r}; it must be one of {', '.join(PROVIDERS)}")
    base_url = pick("base_url", "ANTHROPIC_BASE_URL")
    if provider == "anthropic" and base_url is None and not any(env.get(key) for key in _KEYS):
        return None
    named = model or pick("model", "ANTHROPIC_MODEL")
    if named is None and (base_url is not None or provider != "anthropic"):
        raise ConfigError(f"no model is named for {base_url or provider}: give --model, or set ML_ENGINEER_MODEL")
    profile = _profile(pick("profile"), provider, base_url)
    effort = pick("effort")
    if effort is not None and effort not in EFFORTS:
        raise ConfigError(f"effort is {effort!r}; it must be one of {', '.join(EFFORTS)}")
    max_tokens = pick("max_tokens") or profile.max_tokens
    if not str(max_tokens).isdecimal() or int(max_tokens) < 256:
        raise ConfigError(f"max_tokens is {max_tokens!r}; it must be a whole number from 256")
    window = pick("window")
    if window is not None and (not str(window).isdecimal() or int(window) < 4_096):
        raise ConfigError(f"window is {window!r}; it must be the tokens of the model's context, from 4096")
    tokens = None if window is None else int(window)
    return Settings(named or DEFAULT_MODEL, provider, base_url, profile, effort, int(max_tokens), tokens)


def _profile(name: str | None, provider: str, base_url: str | None) -> Profile:
    if name is not None:
        if name not in PROFILES:
            raise ConfigError(f"profile is {name!r}; it must be one of {', '.join(PROFILES)}")
        return PROFILES[name]
    own = base_url is None or "api.anthropic.com" in base_url
    return ANTHROPIC if provider != "anthropic" or own else COMPATIBLE


@dataclass(frozen=True)
class Client:
    """The SDK's clients with what belongs to each call. One is enough for a whole process."""

    lanes: Lanes
    settings: Settings
    options: dict[str, Any]
    takes_bytes: bool

    @property
    def sdk(self) -> Any:
        """The SDK's client for what is no turn of a conversation."""
        return self.lanes.first

    async def answer(self, transcript: Transcript, head: dict[str, Any], notify: Listener) -> TurnResult:
        """How a turn is sent: a request, and the whole of its answer. Raises one of `failures.expected_failures()`."""
        stream = await self.send(transcript, head)
        assembler = Assembler(notify)
        try:
            if self.settings.provider == "bedrock":  # frames of AWS, which the SDK takes apart
                async for event in stream:
                    if not isinstance(event, dict):
                        raise BrokenAnswer("an event of the answer is no JSON object")
                    assembler.take(event)
            else:
                parser = EventParser()
                async for chunk in stream.response.aiter_bytes():
                    for event in parser.feed(chunk):
                        assembler.take(event)
            result = assembler.finish()
        finally:
            await stream.close()
        result.request_id = stream.response.headers.get("request-id")
        return result

    async def send(self, transcript: Transcript, head: dict[str, Any]) -> AsyncStream[object]:
        """Send one request and give its answer as a stream of plain dicts. Raises what the SDK raises."""
        from anthropic import AsyncStream

        mark = self.settings.profile.mark
        if self.takes_bytes:
            message: dict[str, Any] = {"content": transcript.body(head, mark)}
        else:  # Bedrock and Vertex take the model out of the body, so they need it as a dict
            messages = [*transcript.messages[:-1], mark(transcript.messages[-1])]
            message = {"body": {**head, "messages": messages}}
        stream: AsyncStream[object] = await self.lanes.of(transcript).post(
            "/v1/messages", **message, options=self.options, cast_to=object, stream=True, stream_cls=AsyncStream[object]
        )
        return stream

    def head(self, system: list[str], tools: list[dict[str, Any]]) -> dict[str, Any]:
        """Everything of a request but its messages; the same bytes on every call."""
        s = self.settings
        return s.profile.head(s.model, system, tools, s.max_tokens, s.effort)

    async def close(self) -> None:
        await self.lanes.close()


def import_sdk() -> None:
    """Import the SDK. Thousands of classes are made and none becomes garbage, so the collector and the building of
    validators that are never used are put off; both are undone as soon as it is there."""
    import pydantic

    collected = gc.isenabled()
    deferred = pydantic.BaseModel.model_config.get("defer_build")
    gc.disable()
    pydantic.BaseModel.model_config["defer_build"] = True
    try:
        import anthropic  # noqa: F401 (imported for its effect)
    finally:
        if deferred is None:
            del pydantic.BaseModel.model_config["defer_build"]
        if collected:
            gc.enable()


def open_client(settings: Settings) -> Client:
    """The one factory of clients. Raises ConfigError when the provider's own settings are missing."""
    import_sdk()
    import anthropic
    import httpx2

    common: dict[str, Any] = {"max_retries": 0}  # agent.turn retries, and knows which failures are safe to
    if settings.base_url is not None:
        common["base_url"] = settings.base_url
    try:
        match settings.provider:
            case "bedrock":
                sdk: Any = anthropic.AsyncAnthropicBedrock(**common)
            case "vertex":
                sdk = anthropic.AsyncAnthropicVertex(**common)
            case "foundry":
                sdk = anthropic.AsyncAnthropicFoundry(**common)
            case _:
                sdk = anthropic.AsyncAnthropic(**common, **_key(settings))
    except (anthropic.AnthropicError, ValueError) as error:
        raise ConfigError(f"{settings.provider} cannot be used: {error}") from error
    except (ImportError, RuntimeError) as error:
        extra = _EXTRAS.get(settings.provider)
        raise ConfigError(f"{settings.provider} needs more: pip install 'anthropic[{extra}]' ({error})") from error
    timeout = httpx2.Timeout(60.0, connect=15.0, read=settings.profile.idle)
    options = {"timeout": timeout, "headers": {"Content-Type": "application/json"}}
    return Client(Lanes(sdk), settings, options, takes_bytes=settings.provider in ("anthropic", "foundry"))


def _key(settings: Settings) -> dict[str, Any]:
    """Credentials for a server of another make: it may need none, and may know only the older headers."""
    if not any(os.environ.get(key) for key in _KEYS):
        return {"api_key": "none", **_old_headers(settings)}  # the SDK wants one, also where nobody reads it
    return _old_headers(settings)


def _old_headers(settings: Settings) -> dict[str, Any]:
    if settings.profile is not COMPATIBLE:
        return {}
    key = os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN")
    headers = {"anthropic-version": "2023-06-01"}
    return {"default_headers": {**headers, "x-api-key": key} if key else headers}


async def ping(client: Client) -> TurnResult:
    """One tiny call without retries. Raises ModelError, whose message says what is wrong."""
    from ml_engineer.agent.transcript import Transcript
    from ml_engineer.agent.turn import Patience, take_turn

    transcript = Transcript()
    transcript.say("user", "Answer with the word: ready")
    head = client.settings.profile.head(client.settings.model, [], [], min(client.settings.max_tokens, 1_024))
    return await take_turn(client, transcript, head, patience=Patience(attempts=1))
