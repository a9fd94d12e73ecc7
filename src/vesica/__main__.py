"""`vesica` and `python -m vesica`: a user's mistake is one sentence and exit code 2."""

import os
import sys
from typing import Any

from pydantic import ValidationError

from vesica.accel import faster
from vesica.cli import app
from vesica.errors import printable, say_refused
from vesica.plan import OPTION_NAMES


def main() -> None:
    """Run the command line."""
    # Before torch is imported. Threads that spin while they wait for each other train seven times
    # slower where other work holds a core; sleeping costs steps of some milliseconds up to 40 %,
    # but cells of such steps run side by side, a thread each.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    faster("memory", lambda: None)()
    try:
        app()
    except ValidationError as error:
        _fail(say_refused(error.errors(), _call))
    except ValueError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _call(name: str, value: Any) -> str:
    """A field of a plan as the command line calls it."""
    return f"--{OPTION_NAMES.get(name, name).replace('_', '-')} {value}"


def _fail(message: str) -> None:
    print(f"Error: {printable(message)}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
