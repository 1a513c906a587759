"""Numbers in the text format of Prometheus, as node_exporter's textfile collector reads them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """A number with its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """A name, what it means, and its samples. ``kind``: counter or gauge."""

    name: str
    kind: str
    meaning: str
    samples: tuple[Sample, ...]


def text(metrics: Iterable[Metric]) -> str:
    """Return the metrics as a file has them. Those without samples are left out."""
    return "".join(_written(metric) for metric in metrics if metric.samples)


def _written(metric: Metric) -> str:
    head = f"# HELP {metric.name} {metric.meaning}\n# TYPE {metric.name} {metric.kind}\n"
    return head + "".join(_line(metric.name, sample) for sample in metric.samples)


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{label}="{value.translate(_ESCAPED)}"' for label, value in sample.labels.items())
    value = repr(float(sample.value)) if sample.value % 1 else str(int(sample.value))
    return f"{name}{{{labels}}} {value}\n"
