"""A profile of one's own: what is wrong in it is told at its place, and what it says is what manifests are held to."""

from pathlib import Path

import pytest

from pipeline import files, providers, shipped
from pipeline.errors import ManifestError, Problem, UsageError
from pipeline.instructions import Profiles

STUDIO = """\
name: studio
title: Studio
base_url: https://videos.example.com/v1
auth: { scheme: bearer, env: [STUDIO_API_KEY] }
request:
  schema: openai-request.schema.json
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
  extra_body: true
poll: { first: 1, interval: 1, slowest: 2 }
limits: { requests_per_minute: 60, max_in_flight: 2, polls_per_second: 2, downloads: 2 }
"""
MANIFEST = """\
version: 1
name: spring
provider: studio
jobs:
  - { id: a, prompt: A city }
"""
ANYTHING = "{ properties: { prompt: {}, model: {}, size: {}, seconds: {}, input_reference: {} } }"


def told(problems: tuple[Problem, ...] | list[Problem]) -> list[str]:
    return sorted(f"{Path(one.file).name}:{one.line}:{one.column} {one.rule}" for one in problems)


def with_schema(schema: str) -> str:
    return STUDIO.replace("openai-request.schema.json", schema)


def checked(folder: Path, profile: str, manifest: str = MANIFEST) -> list[Problem]:
    """Return what is wrong with the profile, or else with the manifest."""
    (folder / "studio.yaml").write_text(profile)
    (folder / "spring.yaml").write_text(manifest)
    try:
        files.load(folder / "spring.yaml", variables={}, profiles=Profiles(folder / "studio.yaml"))
    except ManifestError as error:
        return error.problems
    return []


def test_a_profile_with_nothing_but_what_it_must_say_is_right(tmp_path: Path) -> None:
    assert checked(tmp_path, STUDIO) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("title: Studio", "titel: Studio", "studio.yaml:2:1 unknown-key"),
        ("name: studio", "name: Studio", "studio.yaml:1:7 wrong-form"),
        ("https://videos", "https://me:secret@videos", "studio.yaml:3:11 wrong-form"),
        ("base_url: https://videos.example.com/v1", "transport: bundled", "studio.yaml:1:1 missing-key"),
        (", env: [STUDIO_API_KEY]", "", "studio.yaml:4:7 missing-key"),
        ("bearer", "basic", "studio.yaml:4:17 wrong-value"),
        ("[STUDIO_API_KEY]", "[STUDIO KEY]", "studio.yaml:4:31 wrong-form"),
        ("max_in_flight: 2", "max_in_flight: two", "studio.yaml:10:51 wrong-type"),
        ("first: 1", "first: 0", "studio.yaml:9:16 out-of-bounds"),
        ("first: 1", "first: .inf", "studio.yaml:9:16 number"),
        ("  extra_body: true", "  fields: { duration: { name: x } }", "studio.yaml:8:13 unknown-key"),
        ("  extra_body: true", "  fields: { seconds: { type: number } }", "studio.yaml:8:30 wrong-value"),
        ("  extra_body: true", "  extra_body: { seed: { type: whole } }", "studio.yaml:8:15 schema"),
        ("  extra_body: true", '  extra_body: { seed: { $ref: "#/$defs/x" } }', "studio.yaml:8:15 schema"),
        ("  extra_body: true", "  encoding: xml", "studio.yaml:8:13 wrong-value"),
        ("  extra_body: true", "  input_reference: { url: { as: file } }", "studio.yaml:8:33 wrong-value"),
        ("poll:", "doubt: { refusals: [400, 500] }\npoll:", "studio.yaml:9:26 wrong-value"),
        ("poll:", "status: { rendered: done }\npoll:", "studio.yaml:9:21 wrong-value"),
        ("poll:", "errors: { gone: ambiguous }\npoll:", "studio.yaml:9:17 wrong-value"),
        ("poll:", "unbilled: [auth]\npoll:", "studio.yaml:9:12 wrong-value"),
        ("poll:", "content: { expiry: 0 }\npoll:", "studio.yaml:9:20 out-of-bounds"),
        ("poll:", "price: { currency: usd }\npoll:", "studio.yaml:9:20 wrong-form"),
        ("poll:", "price: { currency: USD, per_second: { x: -1 } }\npoll:", "studio.yaml:9:42 out-of-bounds"),
        ("poll:", "proxy: http://proxy.example\npoll:", "studio.yaml:9:1 unknown-key"),
        ("poll:", "ca_file: corporate.pem\npoll:", "studio.yaml:9:1 unknown-key"),
    ],
)
def test_a_mistake_in_a_profile_is_told_at_its_token(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert STUDIO.count(old) == 1
    assert told(checked(tmp_path, STUDIO.replace(old, new))) == [expected]


@pytest.mark.parametrize(
    "schema",
    [
        "nothing-request.schema.json",
        "manifest.schema.json",  # there is one, of something else
        "{ properties: 7 }",
        "{ properties: { size: { type: txt } } }",
        "{ properties: { size: { pattern: '(' } } }",
        "{ properties: { size: { $ref: '#/$defs/sizes' } } }",
        "{ properties: { size: { $ref: '#/properties/seconds' } } }",
        "{ properties: { size: { $ref: 'https://schemas.example.com/size' } } }",
        "{ properties: { size: { $dynamicRef: '#size' } } }",
        "{ properties: { size: { $ref: '#/$defs/a' } }, $defs: { a: { $ref: '#/$defs/a' } } }",
        "{ properties: {}, allOf: [{ if: 4 }] }",
    ],
)
def test_what_is_no_schema_of_requests_is_told_before_any_manifest_is_held_against_it(
    tmp_path: Path, schema: str
) -> None:
    assert told(checked(tmp_path, with_schema(schema))) == ["studio.yaml:6:11 schema"]


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ("openai-request.schema.json", 'defaults: { model: sora-2, size: 832x480, seconds: "4" }'),
        ("{ properties: { size: { enum: [1x1] } } }", 'defaults: { model: sora-2, size: 832x480, seconds: "4" }'),
        ("{ properties: { size: false } }", 'defaults: { model: sora-2, size: 832x480, seconds: "4" }'),
    ],
)
def test_a_default_that_the_rules_never_allow_is_the_profiles_mistake_and_no_manifests(
    tmp_path: Path, schema: str, line: str
) -> None:
    profile = with_schema(schema).replace('defaults: { model: sora-2, size: 1280x720, seconds: "4" }', line)
    assert told(checked(tmp_path, profile)) == ["studio.yaml:7:36 wrong-value"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("fields: { seconds: { name: size } }", ["studio.yaml:8:22 conflict"]),
        (
            "fields: { seconds: { name: x }, size: { name: x } }",
            ["studio.yaml:8:22 conflict", "studio.yaml:8:41 conflict"],
        ),
        ("fields: { seconds: { name: size }, size: { name: seconds } }", []),
        ("fields: { seconds: { name: metadata } }", []),  # which is not sent
        ("fields: { seconds: { name: metadata } }\n  metadata: true", ["studio.yaml:8:22 conflict"]),
        ("input_reference: { image: { as: file, field: prompt } }", ["studio.yaml:8:29 conflict"]),
        ("input_reference: { image: { as: file, field: x }, url: { as: text, field: x } }", []),
    ],
)
def test_two_fields_cannot_be_called_the_same_on_the_wire(tmp_path: Path, rules: str, expected: list[str]) -> None:
    assert told(checked(tmp_path, STUDIO.replace("extra_body: true", rules))) == expected


BY_MODEL = """\
    type: object
    required: [model, prompt]
    properties:
      model: { type: string }
      prompt: { type: string }
      size: { $ref: "#/$defs/size" }
      seconds: true
      metadata: {}
    allOf:
      - if: { properties: { model: { const: small } } }
        then: { properties: { size: { enum: [640x360] }, prompt: { maxLength: 9 } } }
    anyOf: [{ properties: { model: { enum: [small, sora-2] } } }, { required: [metadata] }]
    $defs:
      size: { $ref: "#/$defs/measures" }
      measures: { type: string, pattern: "^[0-9]+x[0-9]+$" }"""


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("{ id: a, prompt: A city, size: 640x360 }", []),
        ("{ id: a, prompt: A city, model: small, size: 640x360 }", []),
        ("{ id: a, prompt: A city, model: small, size: 1280x720 }", ["spring.yaml:5:50 wrong-value"]),
        ("{ id: a, prompt: A city, model: small }", ["spring.yaml:5:5 wrong-value"]),
        ("{ id: a, prompt: A larger city, model: small, size: 640x360 }", ["spring.yaml:5:22 out-of-bounds"]),
        ("{ id: a, prompt: A city, size: large }", ["spring.yaml:5:36 wrong-form"]),
        ("{ id: a, prompt: A city, seconds: 4.5s }", []),
        ("{ id: a, prompt: A city, model: other }", ["spring.yaml:5:5 schema"]),
    ],
)
def test_rules_that_are_written_in_the_profile_speak_of_models_too(
    tmp_path: Path, job: str, expected: list[str]
) -> None:
    profile = with_schema(f"\n{BY_MODEL}").replace("schema: \n", "schema:\n")
    manifest = MANIFEST.replace("{ id: a, prompt: A city }", job)
    assert told(checked(tmp_path, profile, manifest)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [('"4"', []), ('"4.5"', ["spring.yaml:5:39 wrong-value"]), ("4s", ["spring.yaml:5:39 wrong-value"])],
)
def test_a_length_that_is_sent_as_a_whole_number_must_be_one_though_the_schema_takes_it(
    tmp_path: Path, seconds: str, expected: list[str]
) -> None:
    profile = with_schema(ANYTHING).replace("extra_body: true", "fields: { seconds: { name: length, type: integer } }")
    manifest = MANIFEST.replace("A city }", f"A city, seconds: {seconds} }}")
    assert told(checked(tmp_path, profile, manifest)) == expected


@pytest.mark.parametrize(
    ("rules", "job", "expected"),
    [
        ("fields: { seconds: { name: length } }", "extra_body: { length: 9 }", ["spring.yaml:5:44 conflict"]),
        ("input_reference: { url: { as: text, field: frame } }", "extra_body: { frame: x }", []),
        (
            "input_reference: { url: { as: text, field: frame } }",
            'extra_body: { frame: x }, input_reference: "https://example.com/a.png"',
            ["spring.yaml:5:44 conflict"],
        ),
    ],
)
def test_a_further_field_takes_no_other_ones_place(tmp_path: Path, rules: str, job: str, expected: list[str]) -> None:
    profile = with_schema(ANYTHING).replace("extra_body: true", f"extra_body: true\n  {rules}")
    assert told(checked(tmp_path, profile, MANIFEST.replace("A city }", f"A city, {job} }}"))) == expected


def test_an_included_file_is_held_to_the_sizes_of_the_top_files_provider(tmp_path: Path) -> None:
    included = "version: 1\ndefaults: { size: 832x480, seconds: 5s }\n"
    (tmp_path / "part.yaml").write_text(included)
    including = MANIFEST.replace("jobs:", "include: [part.yaml]\njobs:")
    for name, expected in PROVIDERS.items():
        text = including.replace("studio", name)
        assert told(checked(tmp_path, STUDIO, text) if name == "studio" else said_by_ours(tmp_path, text)) == expected


PROVIDERS = {
    "studio": ["part.yaml:2:19 wrong-value", "part.yaml:2:37 wrong-value"],
    "sglang": ["part.yaml:2:37 wrong-form"],
    "znapai": ["part.yaml:2:19 wrong-value", "part.yaml:2:37 wrong-value"],
}


def said_by_ours(folder: Path, manifest: str) -> list[Problem]:
    (folder / "spring.yaml").write_text(manifest)
    with pytest.raises(ManifestError) as caught:
        files.load(folder / "spring.yaml", variables={})
    return caught.value.problems


@pytest.mark.parametrize(
    ("model", "size", "seconds", "cost"),
    [
        ("a", "1280x720", "4", 0.4),
        ("a", "1x1", "8", 0.8),
        ("b", "1280x720", "4", 2.0),
        ("b", "1x1", "4", None),
        ("b", None, "4", None),
        ("c", "1280x720", "4", 4.0),
        (None, "1280x720", "4", 4.0),
        ("a", "1280x720", "4.5", 0.45),
        ("a", "1280x720", "auto", None),
        ("a", "1280x720", None, None),
    ],
)
def test_a_price_is_known_or_unknown(
    tmp_path: Path, model: str | None, size: str | None, seconds: str | None, cost: float | None
) -> None:
    price = "price: { currency: USD, per_second: { a: 0.1, b: { 1280x720: 0.5 } }, otherwise: 1 }\n"
    (tmp_path / "studio.yaml").write_text(STUDIO + price)
    request = {"model": model, "size": size, "seconds": seconds}
    asked = {key: value for key, value in request.items() if value is not None}
    assert providers.own_profile(tmp_path / "studio.yaml").cost(asked) == (pytest.approx(cost) if cost else cost)


def test_a_file_beside_the_manifest_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "studio.yaml").write_text(STUDIO)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "studio.yaml").write_text(STUDIO)
    assert told(said_by_ours(tmp_path, MANIFEST)) == ["spring.yaml:3:11 unknown-provider"]


def test_a_profile_is_found_under_its_own_name_only_and_before_ours(tmp_path: Path) -> None:
    mine = STUDIO.replace("name: studio", "name: sglang")
    (tmp_path / "sglang.yaml").write_text(mine)
    (tmp_path / "other.yaml").write_text(STUDIO)
    profiles = Profiles(folder=tmp_path)
    found = profiles.named("sglang")
    assert found is not None
    assert (found.title, providers.profile("sglang").title) == ("Studio", "SGLang diffusion server")
    assert {"other", "sglang", "znapai"} <= {*profiles.names}
    with pytest.raises(UsageError, match=r"other\.yaml has the profile 'studio': name it studio\.yaml"):
        profiles.named("other")
    assert profiles.named("studio") is None
    assert {profile.name for profile in profiles.sound()} == {*shipped.profile_names()}
