"""``callsheet``, and ``python -m pipeline``: the command, which a Ctrl-C may stop before it has begun."""

import gc
import sys

GARBAGE = 5_000
"""Objects made and not yet freed, after which the youngest are looked through: nearly all of ours need no looking for.

With Python's 700 that takes a twenty-fifth of a run. What needs it holds memory meanwhile: a download that broke, say.
"""


def main() -> int:
    """Run the command and return its exit code."""
    gc.set_threshold(GARBAGE)
    try:
        from pipeline.cli import main as command  # noqa: PLC0415  # takes a while, in which a Ctrl-C may come
    except KeyboardInterrupt:
        sys.stderr.write("callsheet: stopped\n")
        return 130
    code = command()
    gc.freeze()  # or all that was loaded is looked through for garbage, more than once, while the process ends
    return code


if __name__ == "__main__":
    sys.exit(main())
