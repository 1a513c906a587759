"""A person's own profiles: a file that is named, or in a folder of their configuration; never one beside a manifest."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import Bill, Gateway, call, gateway, loses_the_answers, simulator

from pipeline import shipped

for module in ("av", "PIL", "starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

STUDIO = """\
name: studio
title: Studio
base_url: http://127.0.0.1:9/v1
auth: { scheme: bearer, env: [STUDIO_API_KEY], required: false }
request:
  schema: { properties: { model: {}, prompt: {}, size: {}, seconds: { maxLength: 2 } } }
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
abilities: { list: true }
poll: { first: 0.1, interval: 0.1, slowest: 0.5 }
limits: { requests_per_minute: 6000, max_in_flight: 20, polls_per_second: 50, downloads: 4 }
price: { currency: EUR, per_second: { sora-2: { 1280x720: 0.1 }, sora-2-pro: 0.5 } }
"""
MANIFEST = """\
version: 1
name: spring
provider: studio
jobs:
  - { id: fox, prompt: A fox }
"""
KEY = {"STUDIO_API_KEY": "the-key-of-the-studio"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "spring.yaml").write_text(MANIFEST)
    return tmp_path / "work"


@pytest.fixture
def server(folder: Path) -> Iterator[Gateway]:
    with simulator(folder / "bill.db") as upstream, gateway(upstream) as front:
        yield front


def keep(home: Path, text: str = STUDIO, name: str = "studio") -> None:
    """Put a profile into a configuration folder."""
    (home / "callsheet" / "profiles").mkdir(parents=True, exist_ok=True)
    (home / "callsheet" / "profiles" / f"{name}.yaml").write_text(text)


def found(folder: Path, **environment: str) -> bool:
    ended = call(folder, "validate", "spring.yaml", **environment)
    assert ("unknown-provider" in ended.stdout) == (ended.returncode == 2), ended.stdout
    return ended.returncode == 0


def test_the_folder_is_the_persons_and_never_one_beside_the_manifest(folder: Path, tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "config"
    around = {"HOME": str(home)}
    assert not found(folder, **around)
    for beside in (folder, folder / ".config", folder / "config"):
        keep(beside)
    (folder / "studio.yaml").write_text(STUDIO)
    for variables in ({}, {"XDG_CONFIG_HOME": "config"}, {"XDG_CONFIG_HOME": "."}, {"XDG_CONFIG_HOME": ""}):
        assert not found(folder, **around, **variables), variables
    assert not found(folder, HOME="."), "a home that is relative is none"
    assert not found(folder, HOME=".", XDG_CONFIG_HOME="config")
    keep(elsewhere)
    assert not found(folder, **around)
    assert found(folder, **around, XDG_CONFIG_HOME=str(elsewhere))
    keep(home / ".config")
    for variables in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "config"}):
        assert found(folder, **around, **variables), variables
    assert found(folder, HOME="/nowhere", XDG_CONFIG_HOME=str(elsewhere))


def test_a_profile_of_ones_own_goes_before_ours_and_a_named_file_before_both(folder: Path, tmp_path: Path) -> None:
    (folder / "spring.yaml").write_text(MANIFEST.replace("studio", "znapai"))
    keep(tmp_path, STUDIO.replace("studio", "znapai").replace('"4"', '"8"'), "znapai")
    (folder / "third.yaml").write_text(STUDIO.replace("studio", "znapai").replace('"4"', "x"))

    def seconds(*words: str, **environment: str) -> str:
        plan = json.loads(call(folder, "plan", "spring.yaml", "--json", *words, **environment).stdout)
        return str(plan["jobs"][0]["request"]["seconds"])

    assert seconds() == "4"
    assert seconds(XDG_CONFIG_HOME=str(tmp_path)) == "8"
    assert seconds("--profile", "third.yaml", XDG_CONFIG_HOME=str(tmp_path)) == "x"


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        ((), STUDIO.replace("name: studio", "name: other"), "has the profile 'other': name it other.yaml"),
        ((), STUDIO.replace("title", "titel"), "studio.yaml:2:1: error[unknown-key]"),
        ((), STUDIO.replace("maxLength: 2", "maxLength: x"), "studio.yaml:6:11: error[schema]"),
        (("--profile", "nothing.yaml"), STUDIO, "nothing.yaml cannot be read: No such file"),
        (("--profile", "."), STUDIO, ". cannot be read: Is a directory"),
        (("--profile", "other.yaml"), None, "asks for the profile 'studio', and the file given is 'other'"),
    ],
)
def test_a_profile_that_cannot_be_used_is_said_and_nothing_happens(
    folder: Path, tmp_path: Path, words: tuple[str, ...], text: str | None, said: str
) -> None:
    if text is not None:
        keep(tmp_path, text)
    (folder / "other.yaml").write_text(STUDIO.replace("name: studio", "name: other"))
    ended = call(folder, "run", "spring.yaml", "--yes", *words, XDG_CONFIG_HOME=str(tmp_path), **KEY)
    assert ended.returncode == 2
    assert said in " ".join((ended.stdout + ended.stderr).split())
    assert not (folder / "outputs").exists()


def test_what_a_rule_of_the_profile_excludes_is_told_in_the_manifest(folder: Path, tmp_path: Path) -> None:
    keep(
        tmp_path,
        STUDIO.replace("schema: { ", "schema: { not: { required: [model], properties: { model: { const: x } } }, "),
    )
    (folder / "spring.yaml").write_text(MANIFEST.replace("A fox", 'A fox, seconds: "100"'))
    said = call(folder, "validate", "spring.yaml", XDG_CONFIG_HOME=str(tmp_path)).stdout
    assert "spring.yaml:5:40: error[out-of-bounds]: seconds must have at most 2 characters, not 3" in said


def test_prices_by_model_and_size_are_in_the_plan_and_hold_the_budget(folder: Path, tmp_path: Path) -> None:
    around = {"XDG_CONFIG_HOME": str(tmp_path), **KEY}
    keep(tmp_path)

    def cost(*jobs: str) -> dict[str, object]:
        lines = [f"  - {{ id: j{n}, prompt: A fox {n}, {job} }}\n" for n, job in enumerate(jobs)]
        head = MANIFEST.split("  - ", maxsplit=1)[0]
        (folder / "spring.yaml").write_text(f"{head}{''.join(lines)}budget: {{ max_cost: 1 }}\n")
        found = json.loads(call(folder, "plan", "spring.yaml", "--json", **around).stdout)["cost"]
        return {name: found[name] for name in ("currency", "cost", "unknown_price_jobs")}

    assert cost("size: 1280x720", 'model: sora-2-pro, seconds: "2"', "model: sora-2-pro, size: 1x1") == {
        "currency": "EUR",
        "cost": pytest.approx(0.4 + 1.0 + 2.0),
        "unknown_price_jobs": 0,
    }
    assert cost("size: 1280x720", "size: 720x1280", "model: veo") == {
        "currency": "EUR",
        "cost": pytest.approx(0.4),
        "unknown_price_jobs": 2,
    }
    refused = call(folder, "run", "spring.yaml", "--yes", **around)
    assert refused.returncode == 2
    assert "budget cannot hold" in " ".join(refused.stderr.split())
    assert not (folder / "outputs").exists()


def test_the_budget_ends_by_the_size_that_is_dear(folder: Path, tmp_path: Path, server: Gateway) -> None:
    prices = "{ sora-2: { 1280x720: 0.1, 720x1280: 9 } }"
    keep(tmp_path, STUDIO.replace("{ sora-2: { 1280x720: 0.1 }, sora-2-pro: 0.5 }", prices))
    dear = "  - { id: crow, prompt: A crow, size: 720x1280 }\n"
    (folder / "spring.yaml").write_text(f"{MANIFEST}{dear}budget: {{ max_cost: 1 }}\n")
    around = {"XDG_CONFIG_HOME": str(tmp_path), **KEY}
    ended = call(folder, "run", "spring.yaml", "--yes", "--base-url", server.url, **around)
    assert ended.returncode == 6, ended.stderr
    assert [line["size"] for line in Bill(folder / "bill.db").lines()] == ["1280x720"]


def test_an_address_that_nobody_said_is_asked_for(folder: Path, tmp_path: Path, server: Gateway) -> None:
    keep(tmp_path, STUDIO.replace("base_url: http://127.0.0.1:9/v1\n", "").replace("studio", "my-studio"), "my-studio")
    (folder / "spring.yaml").write_text(MANIFEST.replace("studio", "my-studio"))
    around = {"XDG_CONFIG_HOME": str(tmp_path), **KEY}
    refused = call(folder, "run", "spring.yaml", "--yes", **around)
    assert refused.returncode == 2
    assert "say it with --base-url or CALLSHEET_MY_STUDIO_BASE_URL" in " ".join(refused.stderr.split())
    assert not (folder / "outputs").exists()
    around["CALLSHEET_MY_STUDIO_BASE_URL"] = server.url
    assert call(folder, "run", "spring.yaml", "--yes", **around).returncode == 0


@pytest.mark.parametrize("environment", [{}, KEY, {"STUDIO_API_KEY": "  "}])
def test_a_key_that_is_not_required_is_sent_where_there_is_one(
    folder: Path, tmp_path: Path, server: Gateway, environment: dict[str, str]
) -> None:
    keep(tmp_path)
    words = ("run", "spring.yaml", "--yes", "--base-url", server.url)
    ended = call(folder, *words, XDG_CONFIG_HOME=str(tmp_path), **environment)
    assert ended.returncode == 0, ended.stderr
    assert {*server.keys} == {"Bearer the-key-of-the-studio" if environment == KEY else None}


def test_plain_http_to_another_machine_is_for_those_without_a_key(folder: Path, tmp_path: Path) -> None:
    keep(tmp_path, STUDIO.replace("http://127.0.0.1:9/v1", "http://192.0.2.1:9/v1"))
    words = ("run", "spring.yaml", "--yes", "--no-submit")
    refused = call(folder, *words, XDG_CONFIG_HOME=str(tmp_path), **KEY)
    assert refused.returncode == 2
    assert "would carry the key unencrypted" in " ".join(refused.stderr.split())
    for environment, more in (({}, ()), ({"STUDIO_API_KEY": " "}, ()), (KEY, ("--allow-http",))):
        ended = call(folder, *words, *more, XDG_CONFIG_HOME=str(tmp_path), **environment)
        assert "unencrypted" not in ended.stderr, ended.stderr


def test_resolve_audit_and_rebuild_find_the_profile_in_the_folder(
    folder: Path, tmp_path: Path, server: Gateway
) -> None:
    around = {"XDG_CONFIG_HOME": str(tmp_path), **KEY}
    keep(tmp_path, STUDIO.replace("http://127.0.0.1:9/v1", server.url).replace("abilities: { list: true }\n", ""))
    keep(tmp_path, "name: broken\n", "broken")
    (folder / "spring.yaml").write_text(f"{MANIFEST}  - {{ id: crow, prompt: A crow }}\n")
    assert call(folder, "run", "spring.yaml", "--yes", "--select", "fox", **around).returncode == 0
    server.meddle = loses_the_answers
    assert call(folder, "run", "spring.yaml", "--yes", **around).returncode == 3
    crow = next(line["video_id"] for line in Bill(folder / "bill.db").lines() if line["prompt"] == "A crow")
    server.meddle = lambda method, path, act: act()
    adopted = call(folder, "resolve", "outputs/spring", "crow#1", "adopt", crow, **around)
    assert adopted.returncode == 0, adopted.stderr
    assert call(folder, "run", "spring.yaml", "--yes", **around).returncode == 0
    keep(tmp_path, STUDIO.replace("http://127.0.0.1:9/v1", server.url))
    assert call(folder, "audit", "outputs/spring", **around).returncode == 0
    strange = call(folder, "audit", "outputs/spring", **KEY)
    assert strange.returncode == 2
    assert "the profile studio is none of ours" in " ".join(strange.stderr.split())

    for path in (folder / "outputs" / "spring").glob("ledger.db*"):
        path.unlink()
    rebuilt = call(folder, "rebuild", "outputs/spring", "--json", **around)
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert json.loads(rebuilt.stdout)["provider"] == "studio"
    audited = call(folder, "audit", "outputs/spring", **around)
    assert audited.returncode == 0, audited.stderr
    assert len(Bill(folder / "bill.db")) == 2


def test_a_file_of_another_name_than_the_manifests_provider_is_no_choice(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("version: 1\nname: w\nprovider: znapai\njobs: [{ id: a, prompt: x }]\n")
    (tmp_path / "studio.yaml").write_text(shipped.profile_text("sglang").decode())
    ended = call(tmp_path, "validate", "m.yaml", "--profile", "studio.yaml")
    assert ended.returncode == 2
    assert "the manifest asks for the profile 'znapai', and the file given is 'sglang'" in ended.stderr


def test_a_password_in_a_profiles_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    wrong = shipped.profile_text("sglang").decode().replace("http://127.0.0.1", "https://ada:hunter2hunter2@host")
    (tmp_path / "mine.yaml").write_text(wrong)
    (tmp_path / "m.yaml").write_text("version: 1\nname: w\nprovider: sglang\njobs: [{ id: a, prompt: x }]\n")
    for words in (("validate", "m.yaml"), ("validate", "m.yaml", "--json"), ("profiles",)):
        ended = call(tmp_path, *words, "--profile", "mine.yaml")
        assert "hunter2" not in ended.stdout + ended.stderr
        assert "***@host" in ended.stdout + ended.stderr
