"""What somebody probably meant: names and values near to those that are allowed. Pure."""

import json
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice

from pipeline.scalars import core_value

#: Words that other tools, other APIs and older habits use, by ours.
_WORDS = {
    "seconds": "duration durations length secs n_seconds duration_seconds num_seconds video_length",
    "takes": "n repeat repeats count samples num_samples num_videos num_generations variations",
    "size": "resolution aspect_ratio aspect dimensions dimension width height",
    "jobs": "items requests tests videos entries tasks prompts scenes",
    "provider": "profile server backend service",
    "id": "key name custom_id track_id job_id",
    "prompt": "text caption description prompt_text input",
    "model": "model_name model_id engine",
    "metadata": "meta annotations",
    "tags": "tag labels label keywords",
    "vars": "variables params parameters",
    "from": "file source rows table csv data dataset foreach",
    "defaults": "default default_test common",
    "name": "title campaign project",
    "input_reference": "image image_url input_image init_image reference reference_image first_frame",
    "matrix": "strategy sweep grid",
    "enabled": "active",
    "columns": "column column_map fields",
    "keep_columns": "keep save_additional_columns extra_columns",
    "extra_body": "extra extra_params extra_fields",
    "include": "includes import imports extends",
    "budget": "costs money",
    "retry": "retries retry_policy on_failure",
    "max_attempts": "attempts max_retries max_tries tries",
    "max_videos": "videos max_jobs max_count max_clips",
    "max_cost": "max_budget max_spend limit_usd",
    "limits": "limit rate_limits rate_limit",
    "output": "outputs out",
    "filename": "file path template name pattern",
    "requests_per_minute": "rpm rate max_requests_per_minute submits_per_minute",
    "max_in_flight": "concurrency max_concurrency parallel max_parallel in_flight workers",
    "polls_per_second": "polls poll_rate",
    "downloads": "max_downloads transfers download_concurrency",
}
_SAME = {
    wrong: right
    for right, words in {
        "seconds": "duration durations duration_seconds num_seconds n_seconds secs",
        "takes": "n repeat repeats count num_samples num_videos num_generations",
        "id": "custom_id job_id",
        "model": "model_name model_id",
        "vars": "variables",
        "requests_per_minute": "rpm max_requests_per_minute",
        "max_in_flight": "concurrency max_concurrency max_parallel",
    }.items()
    for wrong in words.split()
}
WRONG_NAMES = [(wrong, right) for right, words in _WORDS.items() for wrong in words.split()]

_MEASURES = re.compile(r"\s*(\d{1,6})\s*[xX*\u00d7:]\s*(\d{1,6})\s*")
_NUMBER = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(?:s|sec|secs|seconds?)?\s*")


def known(word: str, allowed: Collection[str]) -> str | None:
    """Return the allowed name for what other tools call by this word."""
    word = _plain(word)
    if word in allowed:
        return word
    return next((right for wrong, right in WRONG_NAMES if wrong == word and right in allowed), None)


def close(word: str, allowed: Collection[str]) -> str | None:
    """Return the allowed name or value that the word is a misspelling of."""
    before, colon, _ = word.partition(":")  # a colon without its space
    return before if colon and before in allowed else _nearest(_plain(word), allowed, cutoff=0.7)


def value(text: str, allowed: Collection[str]) -> str | None:
    """Return the allowed value that is nearest to the text.

    Of sizes, those of the same orientation whose number of pixels is nearest: 1792x1024 for 1920x1080. A ratio has
    few pixels, so it gets the smallest: 1280x720 for 16:9. Of numbers, the nearest, and the smaller of two.
    """
    sizes = {size: _measures(size) for size in allowed}
    wanted = _measures(text)
    if wanted and all(sizes.values()):
        alike = {size: has for size, has in sizes.items() if has and _orientation(has) == _orientation(wanted)}
        near = {size: abs(has[0] * has[1] - wanted[0] * wanted[1]) for size, has in alike.items()}
        return min(near, key=near.__getitem__, default=None)
    numbers = {number: _number(number) for number in allowed}
    length = _number(text)
    if length is not None and None not in numbers.values():
        return min(allowed, key=lambda number: (abs((numbers[number] or 0) - length), numbers[number]), default=None)
    return _nearest(text.strip().lower(), allowed, cutoff=0.6)


def is_certain(word: str, meant: str | None) -> bool:
    """Tell whether a key was meant so surely that a program may rename it: a slip, or a word with just that meaning."""
    if meant is None:
        return False
    return _SAME.get(_plain(word)) == meant or _nearest(_plain(word), (meant,), cutoff=0.85) is not None


def is_same(text: str, value: str) -> bool:
    """Tell whether the text is another writing of the value: ``1280 X 720``, ``8s``."""
    measures, number = _measures(text), _number(text)
    if text.strip().lower() == value:
        return True
    return (measures is not None and measures == _measures(value)) or (number is not None and number == _number(value))


def spelled(text: str) -> str:
    """Return the text as YAML: in quotes where it would otherwise be a number, a bool, a null or syntax."""
    plain = re.fullmatch(r"[\w.][\w .+/-]*", text) and core_value(text) == text and text == text.strip()
    return text if plain else json.dumps(text, ensure_ascii=False)


def listed(words: Iterable[str]) -> str:
    return ", ".join(map(spelled, words))


def _nearest(word: str, allowed: Iterable[str], *, cutoff: float) -> str | None:
    """Hostile manifests have long words and many names, and each pair costs."""
    return next(iter(get_close_matches(word[:100], islice(allowed, 500), n=1, cutoff=cutoff)), None)


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def _measures(text: str) -> tuple[int, int] | None:
    found = _MEASURES.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


def _orientation(measures: tuple[int, int]) -> int:
    width, height = measures
    return (width > height) - (width < height)


def _number(text: str) -> float | None:
    found = _NUMBER.fullmatch(text)
    return float(found[1]) if found else None
