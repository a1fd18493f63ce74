"""The one error that is the user's to fix: entry points print its line and exit with status 2."""

import functools
import sys


class UserError(Exception):
    """Bad input. The message is one line that names the file, scene or key and says what to do."""


def exits_cleanly(main):
    """Wraps an absl `main(argv)`: a UserError becomes one line on stderr and exit status 2."""

    @functools.wraps(main)
    def wrapper(argv):
        try:
            return main(argv)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    return wrapper
