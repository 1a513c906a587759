"""``{{ name }}`` is plain substitution: one pass, no expressions, no environment."""

import pytest

from pipeline.templates import Fault, Scope, Slot, Template, bound, filled, slots

SCOPE = Scope({"style": "grainy", "loop": "{{ style }}", "row_number": Slot(None)}, ("key", "Size of it"), "p.csv")


def both(text: str) -> tuple[str, list[tuple[int, str]]]:
    faults: list[Fault] = []
    value = bound({"a": [text]}, SCOPE, faults)["a"][0]
    assert all(fault.path == ("a", 0) for fault in faults)
    shown = filled(value, {"key": "K {{ style }}", "Size of it": "S"}, 7)
    return shown, [(fault.nth, fault.rule) for fault in faults]


@pytest.mark.parametrize(
    ("text", "filled_in"),
    [
        ("no placeholder", "no placeholder"),
        ("{{ style }}", "grainy"),
        ("{{style}}{{  style\t}}", "grainygrainy"),
        ("a {{ style }} b {{ row.key }} c", "a grainy b K {{ style }} c"),
        ("{{ loop }}", "{{ style }}"),
        ("{{ row_number }}/{{ row.Size of it }}", "7/S"),
        (r"\{{ style }} {{ style }}", "{{ style }} grainy"),
        (r"\{{{{ style }}", "{{grainy"),
        ("}} { } {x} ${HOME} %(a)s {% if %} {# #}", "}} { } {x} ${HOME} %(a)s {% if %} {# #}"),
    ],
)
def test_placeholders_are_filled_in_one_pass(text: str, filled_in: str) -> None:
    assert both(text) == (filled_in, [])


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("{{ stile }}", [(0, "undefined-name")]),
        (r"\{{ x }} {{ style }} {{ y }}", [(2, "undefined-name")]),
        ("{{ row.kee }}", [(0, "undefined-name")]),
        ("{{ style", [(0, "placeholder")]),
        ("{{ }}", [(0, "placeholder")]),
        ("{{ style.upper }}", [(0, "placeholder")]),
        ("{{ style | upper }}", [(0, "placeholder")]),
        ("{{ 1 }}{{ style }}{{ a b }}", [(0, "placeholder"), (2, "placeholder")]),
        ("{{ __class__ }}", [(0, "undefined-name")]),
        ("{{ row }}", [(0, "undefined-name")]),
        ("{{ row. }}", [(0, "placeholder")]),
        ("{{ {{ style }} }}", [(0, "placeholder")]),
    ],
)
def test_what_cannot_be_filled_is_a_fault_at_its_place(text: str, faults: list[tuple[int, str]]) -> None:
    assert both(text)[1] == faults


def test_faults_say_what_was_meant() -> None:
    def fix(text: str, scope: Scope = SCOPE) -> str:
        faults: list[Fault] = []
        bound(text, scope, faults)
        return faults[0].fix

    assert fix("{{ stile }}") == "write {{ style }}"
    assert fix("{{ row.kee }}") == "write {{ row.key }}"
    assert fix("{{ nothing like it }}") == r"write a name, or \{{ for a literal {{"
    assert fix("{{ zzz }}") == "declare it in `vars`"
    assert fix("{{ row.key }}", Scope({})) == "add from: prompts.csv"


def test_values_without_rows_stay_plain() -> None:
    value = bound({"a": ["x {{ style }}", 1, None, {"{{ key }}": True}]}, SCOPE, [])
    assert value == {"a": ["x grainy", 1, None, {"{{ key }}": True}]}
    assert slots(value) == frozenset()


def test_slots_are_the_columns_that_a_value_depends_on() -> None:
    value = bound({"a": ["{{ row.key }}", {"b": "{{ row_number }}"}]}, SCOPE, [])
    assert value["a"][0] == Template((Slot("key"),)) or value["a"][0].parts[1] == Slot("key")
    assert slots(value) == {"key", None}


def test_columns_that_nobody_could_read_are_not_said_to_be_missing() -> None:
    faults: list[Fault] = []
    bound("{{ row.anything }}", Scope({}, None, "p.csv"), faults)
    assert faults == []


def test_a_text_of_placeholders_only_is_linear() -> None:
    faults: list[Fault] = []
    assert len(bound("{{ style }}" * 100_000, SCOPE, faults)) == 600_000
    assert len(bound("{{" * 100_000, SCOPE, faults)) == 0
    assert len(faults) == 100_000
