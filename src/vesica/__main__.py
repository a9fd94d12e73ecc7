"""`vesica` and `python -m vesica`: a user's mistake is one sentence and exit code 2."""

import sys

from pydantic import ValidationError

from vesica.accel import faster
from vesica.cli import app


def main() -> None:
    """Run the command line."""
    faster("memory", lambda: None)()
    try:
        app()
    except ValidationError as error:
        _fail(
            "; ".join(
                f"{'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}"
                for e in error.errors()
            )
        )
    except ValueError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str) -> None:
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
