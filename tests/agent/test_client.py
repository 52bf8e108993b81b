"""Which model is used and where; what is said when that cannot work."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from ml_engineer.agent.client import (
    DEFAULT_MODEL,
    Client,
    ConfigError,
    Settings,
    config_path,
    find_settings,
    import_sdk,
    open_client,
    ping,
)
from ml_engineer.agent.failures import ModelError
from ml_engineer.agent.lanes import WIDTH
from ml_engineer.agent.profiles import ANTHROPIC, COMPATIBLE
from ml_engineer.agent.transcript import Transcript
from tests.support.messages_server import MessagesServer
from tests.support.script import text

KEY = {"ANTHROPIC_API_KEY": "sk-test"}


def configure(words: str) -> None:
    config_path().write_text(words)


def test_no_key_and_no_base_url_is_the_no_model_mode() -> None:
    assert find_settings(environ={}) is None
    assert find_settings("claude-opus-5-5", environ={"ANTHROPIC_MODEL": "x"}) is None


def test_a_key_is_enough() -> None:
    assert find_settings(environ=KEY) == Settings(DEFAULT_MODEL)


@pytest.mark.parametrize(
    ("flag", "env", "config", "expected"),
    [
        ("flag", {"ML_ENGINEER_MODEL": "own", "ANTHROPIC_MODEL": "shared"}, '[model]\nname = "file"', "flag"),
        (None, {"ML_ENGINEER_MODEL": "own", "ANTHROPIC_MODEL": "shared"}, '[model]\nname = "file"', "own"),
        (None, {"ANTHROPIC_MODEL": "shared"}, '[model]\nname = "file"', "file"),
        (None, {"ANTHROPIC_MODEL": "shared"}, "", "shared"),
    ],
)
def test_the_model_comes_from_flag_environment_file_in_this_order(
    flag: str | None, env: dict[str, str], config: str, expected: str
) -> None:
    configure(config)
    settings = find_settings(flag, environ={**KEY, **env})
    assert settings is not None
    assert settings.model == expected


@pytest.mark.parametrize(
    ("env", "profile"),
    [
        (KEY, ANTHROPIC),
        ({"ANTHROPIC_BASE_URL": "http://127.0.0.1:8080"}, COMPATIBLE),
        ({"ANTHROPIC_BASE_URL": "https://api.anthropic.com"}, ANTHROPIC),
        ({"ANTHROPIC_BASE_URL": "http://gateway", "ML_ENGINEER_PROFILE": "anthropic"}, ANTHROPIC),
        ({"ML_ENGINEER_PROVIDER": "bedrock"}, ANTHROPIC),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_profile_follows_from_the_place_unless_it_is_named(env: dict[str, str], profile: Any) -> None:
    settings = find_settings("some-model", environ=env)
    assert settings is not None
    assert settings.profile is profile
    assert settings.max_tokens == profile.max_tokens


def test_everything_can_be_in_the_file() -> None:
    configure('[model]\nname = "m"\nbase_url = "http://h"\nprofile = "anthropic"\neffort = "low"\nmax_tokens = 2048\n')
    assert find_settings(environ={}) == Settings("m", "anthropic", "http://h", ANTHROPIC, "low", 2048)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"ML_ENGINEER_PROVIDER": "azure"}, "provider is 'azure'; it must be one of anthropic, bedrock"),
        ({"ML_ENGINEER_PROFILE": "x"}, "profile is 'x'; it must be one of anthropic, compatible"),
        ({"ML_ENGINEER_EFFORT": "huge"}, "effort is 'huge'; it must be one of low, medium"),
        ({"ML_ENGINEER_MAX_TOKENS": "many"}, "max_tokens is 'many'; it must be a whole number from 256"),
        ({"ML_ENGINEER_MAX_TOKENS": "5"}, "max_tokens is '5'"),
        ({"ML_ENGINEER_WINDOW": "all"}, "window is 'all'; it must be the tokens of the model's context"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_should_be(env: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        find_settings("m", environ={**KEY, **env})


def test_a_server_of_another_make_needs_a_model_by_name() -> None:
    with pytest.raises(ConfigError, match="no model is named for http://h: give --model"):
        find_settings(environ={"ANTHROPIC_BASE_URL": "http://h"})


def test_a_file_that_cannot_be_read_is_named() -> None:
    configure("model = ")
    with pytest.raises(ConfigError, match=r"config\.toml cannot be read: Invalid value"):
        find_settings(environ=KEY)


def test_a_key_of_the_file_that_is_not_known_is_named() -> None:
    configure('[model]\nnmae = "m"')
    with pytest.raises(ConfigError, match=r"config\.toml: there is no setting nmae in \[model\]; there are base_url"):
        find_settings(environ=KEY)
    configure('model = "m"')
    with pytest.raises(ConfigError, match=r"model must be a table: \[model\], and below it name = 'm'"):
        find_settings(environ=KEY)


@pytest.mark.parametrize(
    ("provider", "env", "name"),
    [
        ("anthropic", {}, "AsyncAnthropic"),
        ("foundry", {"ANTHROPIC_FOUNDRY_API_KEY": "k", "ANTHROPIC_FOUNDRY_RESOURCE": "r"}, "AsyncAnthropicFoundry"),
        ("vertex", {"CLOUD_ML_REGION": "europe-west1"}, "AsyncAnthropicVertex"),
        ("bedrock", {"AWS_BEARER_TOKEN_BEDROCK": "t", "AWS_REGION": "eu-west-1"}, "AsyncAnthropicBedrock"),
    ],
)
def test_each_provider_has_the_sdks_own_client(
    provider: str, env: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {**KEY, **env}.items():
        monkeypatch.setenv(key, value)

    async def go() -> None:
        client = open_client(Settings("m", provider))
        assert type(client.sdk).__name__ == name
        assert client.sdk.max_retries == 0
        many = [Transcript() for _ in range(WIDTH + 1)]
        others = {client.lanes.of(one) for one in many} - {client.sdk}
        assert [(type(one).__name__, one.max_retries) for one in others] == [(name, 0)]
        await client.close()
        assert all(one.is_closed() for one in (client.sdk, *others))

    asyncio.run(go())


def test_a_conversation_keeps_its_client_and_leaves_its_place_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")

    async def go() -> None:
        client = open_client(Settings("m", base_url="http://127.0.0.1:9"))
        many = [Transcript() for _ in range(3 * WIDTH)]
        first = [client.lanes.of(one) for one in many]
        assert [len(set(first[at : at + WIDTH])) for at in (0, WIDTH, 2 * WIDTH)] == [1, 1, 1]
        assert len(set(first)) == 3
        assert [client.lanes.of(one) for one in many] == first
        del many[:2]
        again = [Transcript() for _ in range(3)]
        assert [client.lanes.of(one) is first[0] for one in again] == [True, True, False]
        await client.close()

    asyncio.run(go())


def test_a_provider_without_its_own_settings_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_FOUNDRY_API_KEY", "ANTHROPIC_FOUNDRY_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="foundry cannot be used: Missing credentials"):
        open_client(Settings("m", "foundry"))


def call(settings: Settings, do: Callable[[Client], Any]) -> Any:
    async def go() -> Any:
        client = open_client(settings)
        try:
            return await do(client)
        finally:
            await client.close()

    return asyncio.run(go())


def test_ping_is_one_tiny_call(serve: Callable[..., MessagesServer]) -> None:
    server = serve([[text("ready")]])
    result = call(Settings("m", base_url=server.url, profile=COMPATIBLE, max_tokens=4096), ping)
    assert result.text == "ready"
    assert server.requests[0].size < 200
    assert "tools" not in server.requests[0].body


@pytest.mark.parametrize(("fault", "words"), [(401, "does not accept the key"), (404, "does not know the model m")])
def test_ping_says_what_is_wrong(serve: Callable[..., MessagesServer], fault: int, words: str) -> None:
    server = serve([{"faults": [fault], "blocks": [text("ready")]}])
    with pytest.raises(ModelError, match=words):
        call(Settings("m", base_url=server.url), ping)


def test_ping_does_not_wait_for_better_times(serve: Callable[..., MessagesServer]) -> None:
    server = serve([{"faults": [529], "blocks": [text("ready")]}])
    with pytest.raises(ModelError, match="529, overloaded"):
        call(Settings("m", base_url=server.url), ping)
    assert len(server.requests) == 1


def test_the_key_is_sent_in_the_new_header_and_to_others_in_the_old_one_too(
    serve: Callable[..., MessagesServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    server = serve([[text("ready")]], api_key="sk-test")
    call(Settings("m", base_url=server.url, profile=COMPATIBLE), ping)
    call(Settings("m", base_url=server.url), ping)
    assert [one.headers.get("x-api-key") for one in server.requests] == ["sk-test", None]


def test_importing_the_sdk_leaves_collector_and_pydantic_as_they_were() -> None:
    before = dict(pydantic.BaseModel.model_config)
    assert gc.isenabled()
    import_sdk()
    assert gc.isenabled()
    assert pydantic.BaseModel.model_config == before


def test_finding_the_settings_does_not_import_the_sdk(tmp_path: Path) -> None:
    code = "import sys, ml_engineer.agent.client as c; c.find_settings(); print('anthropic' in sys.modules)"
    env = {**os.environ, "ANTHROPIC_API_KEY": "k", "ML_ENGINEER_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
