"""Profiles as data: what is told of one, what its request schema allows each model, in what two differ."""

from typing import Any

import pytest

from pipeline import providers, shipped, validation
from pipeline.comparing import OTHER, Fact, cheapest, facts, models, side_by_side, taken, takes
from pipeline.profile import profile_from

SCHEMA = shipped.schema("profile")
WRITTEN = {name: providers.written_profile(name) for name in shipped.profile_names()}
RULES = {name: providers.request_schema(profile_from(told).request) for name, told in WRITTEN.items()}
TALL, WIDE = "720x1280", "1280x720"


def told(name: str, **changes: Any) -> dict[str, Fact]:
    found = facts({**WRITTEN[name], **changes}, SCHEMA, RULES[name])
    return {".".join(field): fact for field, fact in found.items()}


def test_what_a_profile_says_and_what_it_is_silent_about_are_told_apart() -> None:
    found = told("litellm")
    assert found["limits.max_in_flight"] == Fact(10, "Jobs at the server at the same time.")
    assert found["limits.max_video_mib"][::2] == (64, False)
    assert found["abilities.same_id"][::2] == (False, True)
    assert found["abilities.list"][::2] == (False, False)
    assert "price.currency" not in found, "what has no default is absent"
    assert not [field for field in found if field.startswith(("request.fields", "request.input_reference.url"))]


def test_names_that_a_profile_chooses_are_fields_too() -> None:
    found = told(
        "openai",
        status={"rendered": "ready"},
        errors={"wallet_empty": "quota_exhausted"},
        price={"currency": "USD", "per_second": {"sora-2": 0.1, "sora-2-pro": {WIDE: 0.3}}},
    )
    assert (found["status.rendered"].value, found["errors.wallet_empty"].value) == ("ready", "quota_exhausted")
    assert (found["price.per_second.sora-2"].value, found[f"price.per_second.sora-2-pro.{WIDE}"].value) == (0.1, 0.3)
    assert found["price.per_second.sora-2"].meaning == "By model: one price, or one for each size."
    assert told("sglang")["request.extra_body.negative_prompt"].value == {"type": "string"}


def test_every_field_of_the_shipped_profiles_means_something() -> None:
    for name in WRITTEN:
        assert [field for field, fact in told(name).items() if not fact.meaning] == []


def test_models_have_the_sizes_and_lengths_of_their_own() -> None:
    found = told("openai")
    assert found["models.sora-2.size"].value == [TALL, WIDE]
    assert found["models.sora-2-2025-12-08.size"].value == [TALL, WIDE]
    assert found["models.sora-2-pro.size"].value[-2:] == ["1080x1920", "1920x1080"]
    assert found["models.sora-2-pro.seconds"].value == ["4", "8", "12"]
    assert f"models.{OTHER}.size" not in found
    relay = told("new-api")
    assert relay["models.sora-2.size"].value == [TALL, WIDE, "1024x1792", "1792x1024"]
    assert relay[f"models.{OTHER}.size"].value == {"pattern": "^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$"}


@pytest.mark.parametrize(
    ("rules", "size"),
    [
        ({"properties": {"size": {"enum": ["a", "b"]}}, "allOf": [{"properties": {"size": {"pattern": "b"}}}]}, ["b"]),
        ({"properties": {"size": {"const": "a"}}}, ["a"]),
        ({"if": {"properties": {"model": {"const": "m"}}}, "then": {"properties": {"size": {"enum": ["a"]}}}}, ["a"]),
        ({"if": {"properties": {"model": {"const": "n"}}}, "else": {"properties": {"size": {"enum": ["a"]}}}}, ["a"]),
        ({"allOf": [{"allOf": [{"properties": {"size": {"enum": ["a"]}}}]}, True]}, ["a"]),
        ({"properties": {"size": True}}, {}),
    ],
)
def test_a_request_schema_is_read_as_its_validator_reads_it(rules: dict[str, Any], size: Any) -> None:
    assert taken(rules, "m") == {"size": size}


def test_what_depends_on_more_than_the_model_is_left_out() -> None:
    condition = {"properties": {"model": {"const": "m"}, "seconds": {"const": "4"}}}
    rules = {
        "properties": {"size": {"enum": ["a", "b"]}},
        "if": condition,
        "then": {"properties": {"size": {"const": "a"}}},
    }
    assert taken(rules, "m") == {"size": ["a", "b"]}


def test_models_that_a_profile_names_are_those_of_its_schema_or_its_default_and_its_prices() -> None:
    assert models(WRITTEN["znapai"], RULES["znapai"]) == ["sora-2"]
    priced = {**WRITTEN["litellm"], "price": {"currency": "USD", "per_second": {"veo-3": 1}}}
    assert models(priced, RULES["litellm"]) == ["sora-2", "veo-3", OTHER]
    assert models(WRITTEN["sglang"], RULES["sglang"]) == [OTHER]
    assert takes(RULES["litellm"], "whatever")
    assert not takes(RULES["znapai"], "whatever")


def test_two_profiles_are_compared_field_by_field_by_the_same_models() -> None:
    names = ("znapai", "openai")
    more = [model for name in names for model in models(WRITTEN[name], RULES[name])]
    rows = side_by_side([facts(WRITTEN[name], SCHEMA, RULES[name], more) for name in names])
    values = {".".join(row.field): [fact and fact.value for fact in row.facts] for row in rows if row.differs}
    assert values["abilities.list"] == [False, True]
    assert values["base_url"] == ["https://api.znapai.com/v1", None]
    assert values["models.sora-2.size"] == [[TALL, WIDE, "1024x1792", "1792x1024"], [TALL, WIDE]]
    assert values["models.sora-2-pro.seconds"] == [None, ["4", "8", "12"]]
    assert "models.sora-2.seconds" not in values
    assert "transport" not in values
    assert not [row for row in side_by_side([facts(WRITTEN["openai"], SCHEMA, RULES["openai"])] * 2) if row.differs]


def request(name: str, **changes: Any) -> dict[str, Any]:
    data = {**WRITTEN[name], **changes}
    return cheapest(profile_from(data), models(data, RULES[name]), RULES[name])


def test_the_cheapest_request_is_that_of_the_least_price_and_else_the_shortest_of_the_default_model() -> None:
    assert request("znapai") == {"model": "sora-2", "size": TALL, "seconds": "4"}
    dear = {"sora-2": 0.5, "sora-2-pro": {"1024x1792": 0.2, WIDE: 0.1}}
    priced = request("openai", price={"currency": "USD", "per_second": dear})
    assert priced == {"model": "sora-2-pro", "size": WIDE, "seconds": "4"}
    assert request("sglang") == {"size": WIDE, "seconds": "4"}, "what has no list has the profile's default"
    for name, rules in RULES.items():
        assert not validation.findings({"prompt": "x", **request(name)}, rules)
