"""The one error that is the user's to fix: `entry.run` prints its line and exits with status 2."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, scene or key and says what to do."""
