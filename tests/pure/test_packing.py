"""Many jobs are what few are: packed they come back as they were, and what is there twice is found far apart."""

from collections.abc import Sequence

import pytest

from pipeline.firsts import Names, Requests
from pipeline.jobs import Job, Spec, State
from pipeline.judging import compare
from pipeline.packing import Packed
from pipeline.plan import Plan


def spec(number: int, **more: object) -> Spec:
    request = {"model": "sora-2", "prompt": f"Scene {number}", "extra": {"a": [number, 1.5, None, True, "é\U0001f600"]}}
    values = {"tags": (f"t{number}",), "metadata": {"row": number}, "enabled": number % 7 > 0, **more}
    return Spec(f"job-{number}#1", 1, request, f"job-{number}.mp4", f"m.yaml:{number}:3", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("many", [0, 1, 511, 512, 513, 1500])
def test_what_is_packed_comes_back_as_it_was(many: int) -> None:
    specs = [spec(number) for number in range(many)]
    packed = Packed(specs)
    assert [*packed] == specs
    assert len(packed) == many
    assert [packed[number] for number in reversed(range(many))] == specs[::-1]
    assert packed[3:700:7] == specs[3:700:7]
    assert [*packed.few()] == specs
    assert isinstance(packed.few(), list) == (many < 512)
    assert [packed[-many:]] == [specs[-many:]]
    with pytest.raises(IndexError):
        packed[many]


def test_a_name_is_found_however_far_back_it_is() -> None:
    specs = Packed()
    names = Names(specs)
    for number in range(1300):
        assert names.first(f"Job-{number}") is None
        specs.append(spec(number))
    assert names.first("JOB-700") == 700
    assert names.first("job-1300") is None
    specs.append(spec(1300))
    assert [names.first(name) for name in ("job-1300", "job-3", "job-1301")] == [1300, 3, None]


def test_a_request_is_found_however_far_back_it_is_where_it_is_enabled() -> None:
    specs = Packed()
    requests = Requests(specs)
    for number in range(1300):
        one = spec(number)
        specs.append(one)
        assert requests.first(number, one) is None if one.enabled else True
    again = [700, 701, 1299, 1299]  # 700 is a multiple of 7: not enabled
    found = []
    for number in again:
        specs.append(spec(number, enabled=True))
        found.append(requests.first(len(specs) - 1, specs[len(specs) - 1]))
    assert found == [None, 701, 1299, 1299]
    other = Spec("other#1", 1, {**spec(5).request, "size": "720x1280"}, "o.mp4", "m.yaml:1:1")
    specs.append(other)
    assert requests.first(len(specs) - 1, other) is None


def planned(specs: Sequence[Spec]) -> Plan:
    known = [Job.planned(spec(number)) for number in range(0, 1400, 3)]
    changed = Job("job-4#1", "0" * 64, {"prompt": "Before"}, "job-4.mp4", state=State.DONE, attempt=1)
    return compare(specs, [*known, changed], selected=frozenset(one.name for one in specs if one.enabled))


def test_a_plan_of_packed_jobs_is_that_of_the_same_jobs() -> None:
    specs = [spec(number) for number in range(1300)]
    packed, plain = planned(Packed(specs)), planned(specs)
    assert [*packed.items] == [*plain.items]
    assert [*packed.submissions] == [*plain.submissions]
    assert packed.items.counts == plain.items.counts
    assert len(packed.items) == len([*packed.items]) == 1301  # the job that was changed is an orphan too
    assert [packed.items[number] for number in (0, 4, 1299, -1)] == [
        [*plain.items][number] for number in (0, 4, 1299, -1)
    ]
    assert [*packed.submissions[2:5]] == [*plain.submissions][2:5]
    assert [item.name for item in packed.items if item.changes] == ["job-4#1"]


def test_the_orphans_come_last() -> None:
    gone = Job("gone#1", "1" * 64, {"prompt": "Gone"}, "gone.mp4", state=State.DONE, attempt=1, path="videos/gone.mp4")
    plan = compare(Packed([spec(1)]), [gone], selected=frozenset({"job-1#1"}))
    assert [item.name for item in plan.items] == ["job-1#1", "gone#1"]
    assert plan.items[1] == plan.items[-1] == [*plan.items][1]
    assert [item.name for fate in plan.items.counts for item in plan.of(fate)] == ["job-1#1", "gone#1"]


def test_what_is_told_of_submissions_comes_in_their_order() -> None:
    specs = Packed(spec(number) for number in range(1300))
    jobs = [Job.planned(spec(number)) for number in reversed(range(1300))]
    names = frozenset(one.name for one in specs)
    for ledger in ([], jobs, jobs[:700], [*reversed(jobs)]):
        found = compare(specs, ledger, selected=names).submissions
        assert found.each(lambda item: item.name) == [item.name for item in found]
        assert len(found) == 1300
