"""cmcgan: sound into picture and picture into sound.

All that the command line does, a Python user can do with these names; each is imported when it is first used, so that
`import cmcgan_core` costs nothing. A trained model is one object:

```python
import cmcgan_core as cmcgan

model = cmcgan.load()
model.sound_to_picture("sound.wav").save("sound.png")
```

From recordings to a model:

```python
from pathlib import Path

import cmcgan_core as cmcgan

if __name__ == "__main__":  # `prepare` starts processes, which import this file
    data = cmcgan.prepare(Path("urmp"), Path("prepared/urmp"), None, cmcgan.SourceOptions()).out
    run = cmcgan.train_run(cmcgan.load_config("small"), data, Path("runs/urmp"), on_progress=cmcgan.tqdm_progress())
    print(cmcgan.evaluate(run.out, data).table1)
```
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

#: Public names, and the modules that they live in.
_PUBLIC = {
    "load": "model",
    "Model": "model",
    "SourceOptions": "data.sources",
    "prepare": "data.prepare",
    "PairDataset": "data.dataset",
    "ENCODERS": "networks",
    "LOSSES": "losses",
    "Config": "config",
    "NetworkConfig": "config",
    "load_config": "config",
    "train_run": "training",
    "train_classifier": "classifiers",
    "retrain_classifier": "classifiers",
    "load_checkpoint": "checkpoint",
    "find_checkpoint": "checkpoint",
    "Choices": "translate",
    "sound_to_pictures": "translate",
    "picture_to_sounds": "translate",
    "Form": "generate",
    "generate_file": "generate",
    "classify_files": "classify",
    "classify_file": "classify",
    "classify_all": "classify",
    "evaluate": "evaluate",
    "compare": "comparison",
    "write_report": "report",
    "load_study": "study",
    "run_study": "study",
    "study_representations": "representation_study",
    "export_onnx": "export",
    "run_demo": "demonstration",
    "tqdm_progress": "progress",
    "CmcganError": "errors",
}

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604 - the names are those of the table


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


class _Package(ModuleType):
    """This package, in which a public function stays what its name means when the module of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
