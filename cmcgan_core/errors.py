"""All expected errors, as one tree of exceptions.

```
CmcganError
├── ConfigError       a preset, a --set or a config.toml is not valid
├── DataError         a source folder or a prepared dataset is not valid
│   └── MediaError    a sound, picture or video cannot be read or written
├── CheckpointError   a checkpoint cannot be read, or does not support the operation
├── TrainingError     training cannot continue, for example because a loss is not finite
├── Interrupted       a stop was requested; the finished work is saved
└── PluginError       a plugin, or a name that only a plugin could provide, is missing or broken
```

A message names the file or the setting, says what is wrong, and names the next command if there is one. The command
line prints the message and exits with code 1. Any exception that is not a `CmcganError` is a bug and keeps its
traceback.
"""


class CmcganError(Exception):
    """The base class of all expected errors."""


class ConfigError(CmcganError):
    """A preset, a `--set` or a `config.toml` is not valid; the message lists every fault at once."""


class DataError(CmcganError):
    """A source folder or a prepared dataset is not valid."""


class MediaError(DataError):
    """A sound, picture or video cannot be read or written."""


class CheckpointError(CmcganError):
    """A checkpoint cannot be read, or does not support the operation."""


class TrainingError(CmcganError):
    """Training cannot continue."""


class PluginError(CmcganError):
    """A plugin, or a name that only a plugin could provide, is missing or broken."""


class Interrupted(CmcganError):
    """A stop was requested, by Ctrl-C for example; the finished work is saved, and the same call resumes it."""
