"""A project folder: its `trueup.toml`, and paths relative to it."""

from __future__ import annotations

from pathlib import Path

from trueup.config.document import FILE_NAME, Config, parse
from trueup.config.environment import as_utf8, expand_path, is_utf8
from trueup.errors import ConfigError
from trueup.regular import read_regular

MAX_TOML_BYTES = 16 << 20


class Project:
    """A project folder: its configuration, and paths resolved against it."""

    def __init__(self, directory: Path, config: Config) -> None:
        if not is_utf8(str(directory)):
            where = as_utf8(str(directory))
            raise ConfigError("the name of the project's folder is not UTF-8", where=where, todo="rename the folder")
        self.directory, self.config = directory, config

    @classmethod
    def load(cls, directory: Path | str) -> Project:
        """Read `trueup.toml` in `directory`; raise `ConfigError` for a missing file or an invalid setting."""
        folder = Path(directory)
        path = folder / FILE_NAME
        try:
            text = read_regular(path, max_bytes=MAX_TOML_BYTES).decode("utf-8")
        except FileNotFoundError:
            raise ConfigError(
                "there is no trueup.toml", where=str(folder), todo="run `trueup init DIR` or name the folder with --project"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ConfigError(f"trueup.toml cannot be read: {reason}", where=str(path)) from None
        return cls(folder.resolve(), parse(text, where=str(path)))

    def resolve(self, path: str) -> Path:
        """Return an absolute path. Relative paths start at the project's folder, and `${NAME}` becomes the environment's value."""
        return self.directory / expand_path(path)
