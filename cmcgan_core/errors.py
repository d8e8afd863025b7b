"""What can go wrong by no fault of the program, as one small tree.

```
CmcganError
├── ConfigError       a preset, a --set or a config.toml is not valid
├── DataError         a source folder or a prepared dataset is not what it should be
│   └── MediaError    one sound, picture or video cannot be read or written
├── CheckpointError   a checkpoint cannot be read, or cannot do what is asked of it
├── TrainingError     training cannot go on (a loss is no longer finite, say)
├── Interrupted       a stop was requested; the finished work is saved
└── PluginError       a plugin, or a name that only a plugin could provide, is missing or broken
```

A message names the file or the field, says what is wrong and, where there is one, the command to type next. The command
line prints it in one line and exits with 1; anything that is not a `CmcganError` is a bug and keeps its traceback.
"""


class CmcganError(Exception):
    """The root of all expected errors."""


class ConfigError(CmcganError):
    """A preset, a `--set` or a `config.toml` is not valid; the message lists every fault at once."""


class DataError(CmcganError):
    """A source folder or a prepared dataset is not what it should be."""


class MediaError(DataError):
    """One sound, picture or video cannot be read or written."""


class CheckpointError(CmcganError):
    """A checkpoint cannot be read, or cannot do what is asked of it."""


class TrainingError(CmcganError):
    """Training cannot go on."""


class PluginError(CmcganError):
    """A plugin, or a name that only a plugin could provide, is missing or broken."""


class Interrupted(CmcganError):
    """A stop was requested, by Ctrl-C for example; the finished work is saved, and the same call resumes it."""
