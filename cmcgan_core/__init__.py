"""cmcgan: turn sound into pictures and pictures into sound.

A Python user can do with these names what the command line does. Each name is imported when it is first used, so
`import cmcgan_core` is fast. A trained model is one object:

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
    cmcgan.prepare(Path("urmp"), Path("prepared/urmp"), None, cmcgan.SourceOptions())
    dataset = cmcgan.open_dataset("prepared/urmp")
    config = cmcgan.load_config("small")
    run = cmcgan.train_run(config, dataset, Path("runs/urmp"), on_progress=cmcgan.tqdm_progress())
    print(cmcgan.evaluate(run.out, dataset).table1)
```
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Public names, and the modules that define them. Plugins need no others.
_PUBLIC = {
    "load": "inference.model",
    "Model": "inference.model",
    "SourceOptions": "data.prepare.recording",
    "Source": "data.prepare.recording",
    "Recording": "data.prepare.recording",
    "RawPair": "data.prepare.recording",
    "Skipped": "data.prepare.recording",
    "SOURCES": "data.prepare.sources",
    "DemoSource": "data.synthetic",
    "prepare": "data.prepare.pipeline",
    "open_dataset": "data.dataset",
    "export_dataset": "data.export.pipeline",
    "PreparedDataset": "data.dataset",
    "PairDataset": "data.dataset",
    "Batch": "data.loader",
    "wrong_pairs": "data.loader",
    "FeatureSettings": "features.settings",
    "Representation": "features.representations",
    "REPRESENTATIONS": "features.representations",
    "Modality": "modality",
    "Direction": "modality",
    "Translator": "nn.capabilities",
    "Embedder": "nn.capabilities",
    "Classifier": "nn.capabilities",
    "RouteNorm": "nn.layers",
    "ENCODERS": "nn.encoders",
    "DECODERS": "nn.decoders",
    "DISCRIMINATORS": "nn.discriminators",
    "PairScorer": "nn.discriminators",
    "LOSSES": "nn.losses",
    "Config": "config",
    "NetworkConfig": "config",
    "OptimizerConfig": "config",
    "TrainConfig": "config",
    "load_config": "config",
    "Method": "methods",
    "METHODS": "methods",
    "read_options": "methods.base",
    "make_optimizer": "methods.base",
    "update": "methods.base",
    "weighted_sum": "methods.base",
    "frozen": "methods.base",
    "train_run": "training.train",
    "LOGGERS": "training.loggers",
    "Logger": "training.loggers",
    "LoggedRun": "training.loggers",
    "train_judge": "training.classifiers",
    "train_run_classifier": "training.classifiers",
    "load_checkpoint": "checkpoint",
    "find_checkpoint": "run_folder",
    "SamplingOptions": "inference.sampling",
    "sound_to_pictures": "inference.translate",
    "picture_to_sounds": "inference.translate",
    "OutputOptions": "inference.generate.plan",
    "generate_file": "inference.generate.batch",
    "load_classifier": "inference.dynamic_classifier",
    "classify_files": "inference.classify",
    "classify_file": "inference.classify",
    "classify_all": "inference.classify",
    "retrieve": "inference.retrieve.retrieval",
    "find_gallery": "inference.retrieve.files",
    "load_embedder": "inference.retrieve.embedding",
    "Hit": "inference.retrieve.results",
    "evaluate": "evaluation.evaluate",
    "compare": "evaluation.compare",
    "METRICS": "evaluation.sample_metrics",
    "MapMetric": "evaluation.sample_metrics",
    "MapBatch": "evaluation.sample_metrics",
    "SetMetric": "evaluation.sample_metrics",
    "WaveformMetric": "evaluation.sample_metrics",
    "SampleSet": "evaluation.sample_metrics",
    "Needs": "evaluation.sample_metrics",
    "write_report": "reports.html",
    "load_study": "experiments.recipes",
    "run_study": "experiments.study",
    "study_representations": "experiments.representations",
    "export_onnx": "inference.onnx",
    "run_demo": "tour",
    "tqdm_progress": "progress",
    "CmcganError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "MediaError": "errors",
    "CheckpointError": "errors",
    "TrainingError": "errors",
    "PluginError": "errors",
    "Interrupted": "errors",
}

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604 - the names are those of the table


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
