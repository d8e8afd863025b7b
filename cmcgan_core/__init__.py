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

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Public names, and the modules that they live in.
_PUBLIC = {
    "load": "inference.model",
    "Model": "inference.model",
    "SourceOptions": "data.prepare.recording",
    "prepare": "data.prepare.pipeline",
    "PreparedDataset": "data.dataset",
    "PairDataset": "data.dataset",
    "open_dataset": "data.dataset",
    "ENCODERS": "nn.encoders",
    "LOSSES": "nn.losses",
    "Config": "config",
    "NetworkConfig": "config",
    "load_config": "config",
    "train_run": "training.train",
    "train_judge": "training.classifiers",
    "train_run_classifier": "training.classifiers",
    "load_checkpoint": "checkpoint",
    "find_checkpoint": "checkpoint",
    "SamplingOptions": "inference.translate",
    "sound_to_pictures": "inference.translate",
    "picture_to_sounds": "inference.translate",
    "OutputOptions": "inference.generate",
    "generate_file": "inference.generate",
    "classify_files": "inference.classify",
    "classify_file": "inference.classify",
    "classify_all": "inference.classify",
    "evaluate": "evaluation.evaluate",
    "compare": "evaluation.compare",
    "write_report": "reports.html",
    "load_study": "experiments.study",
    "run_study": "experiments.study",
    "study_representations": "experiments.representations",
    "export_onnx": "inference.onnx",
    "run_demo": "tour",
    "tqdm_progress": "progress",
    "CmcganError": "errors",
}

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604 - the names are those of the table


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
