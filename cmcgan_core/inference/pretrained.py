"""Save models in the layout of the Hugging Face Hub, and download models from it.

The layout is that of a run's folder (`checkpoint.RunFolder`), with a model card and without what only training needs.
docs/models.md describes it.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

from cmcgan_core.checkpoint import Trained, network_tensors, save_checkpoint
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.inference.completion import fingerprint
from cmcgan_core.nn.capabilities import Translator, embeds_both
from cmcgan_core.nn.familiarity import familiarity_tensors
from cmcgan_core.run_folder import RunFolder
from cmcgan_core.utils.files import RUN_AGAIN, error_reason, explain_write_errors, write_text
from cmcgan_core.utils.toml import dump_toml

#: A name on the Hub: OWNER/NAME.
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def save_model(out: Path, generating: Trained, classifier: Trained | None, licence: str) -> None:
    """Write a model into a folder. Files of an older model are replaced, but a model card that is there is kept.

    Args:
        out: the folder; it is created if it is missing.
        generating: the generating run.
        classifier: the classifier of the run, or None.
        licence: the licence of the weights for the model card, as the Hub names it.

    Raises:
        ConfigError: the folder holds a run, whose training state would be lost.
        CheckpointError: the folder cannot be written.
    """
    folder = RunFolder(out)
    if folder.info.exists():
        raise ConfigError(f"{out} holds a run, whose training state would be lost; choose another folder")
    with explain_write_errors(out, CheckpointError, RUN_AGAIN):
        save_network(folder.last, generating)
        if classifier is None or classifier is generating:
            folder.classifier.unlink(missing_ok=True)
        else:
            about = replace(classifier.about, completed_by=fingerprint(folder.last))
            save_network(folder.classifier, replace(classifier, about=about))
        write_text(folder.config, dump_toml(generating.about.config.to_dict()))
        if not folder.card.exists():
            write_text(folder.card, _model_card(out.resolve().name, generating, classifier, licence))


def save_network(file: Path, trained: Trained) -> None:
    """Write a checkpoint with everything that using a network needs, and nothing that only training needs."""
    tensors = {**network_tensors(trained.network), **familiarity_tensors(trained.familiarity)}
    save_checkpoint(file, trained.about, tensors)


def is_hub_name(name: str) -> bool:
    """Return whether a text can be the name of a model on the Hub."""
    return _HUB_NAME.fullmatch(name) is not None


def download_model(name: str, revision: str | None) -> Path:
    """Download a model from the Hub into the cache of `huggingface_hub`, and return its folder.

    Only the files that using a model needs are downloaded. Loading them runs no code.

    Args:
        name: its name, OWNER/NAME.
        revision: a branch, a tag or a commit; None is the main branch.

    Raises:
        ConfigError: the package `huggingface_hub` is not installed.
        CheckpointError: there is no such model, or it cannot be downloaded.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ConfigError(
            f"{name} is no folder, and downloading it from the Hugging Face Hub needs: pip install 'cmcgan[hub]'"
        ) from error
    files = RunFolder(Path())
    wanted = [str(file) for file in (files.last, files.classifier, files.config, files.card)]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError) as error:  # the errors of huggingface_hub are such errors
        raise CheckpointError(
            f"{name} is no folder, and cannot be downloaded from the Hugging Face Hub "
            f"({error_reason(error).splitlines()[0]}); check the name and the connection"
        ) from error


def _model_card(name: str, generating: Trained, classifier: Trained | None, licence: str) -> str:
    """Return a model card in Markdown, with the header that the Hub reads."""
    about, network = generating.about, generating.about.config.network
    tasks = _tasks(generating, classifier)
    header: dict[str, object] = {
        "license": licence,
        "library_name": "cmcgan",
        "tags": [*dict.fromkeys(["cmcgan", about.config.method, "audio-visual", *tasks])],
    }
    measured = ""
    if about.best is not None:
        loss = {"type": "loss", "name": "lowest validation loss of the run", "value": about.best}
        task, data = {"type": "other", "name": ", ".join(tasks)}, {"type": about.data, "name": about.data}
        header["model-index"] = [{"name": name, "results": [{"task": task, "dataset": data, "metrics": [loss]}]}]
        measured = f"- Lowest validation loss of the run: {about.best:.4g}.\n"
    abilities = "\n".join(f"- It {task}." for task in tasks.values())
    lines = [f"{key}: {json.dumps(value)}" for key, value in header.items()]  # JSON is valid YAML
    return (
        "\n".join(["---", *lines, "---", ""])
        + f"""# {name}

This is a model of cmcgan:

{abilities}
- Sounds: half a second, as a spectrogram of {network.bins} x {network.frames}.
- Pictures: {network.picture_size} x {network.picture_size} pixels.
- Classes: {", ".join(about.classes)}.

## Use

```python
import cmcgan_core as cmcgan

model = cmcgan.Model.from_pretrained("OWNER/{name}")  # or a folder with these files
```

The commands of cmcgan use a folder with these files by `--checkpoint FOLDER`.

## Training

- Dataset: `{about.data}`.
- Method: `{about.config.method}`, {about.step:,} of {about.steps:,} steps. All settings are in `config.toml`.
{measured}"""
    )


def _tasks(generating: Trained, classifier: Trained | None) -> dict[str, str]:
    """Return what a model can do: a tag for the Hub, and the end of a sentence."""
    tasks = {}
    if isinstance(generating.network, Translator):
        for direction in generating.network.directions:
            source, target = direction.source.word, direction.target.word
            tasks[f"{source}-to-{target}"] = f"turns a {source} into a {target}"
    if classifier is not None:
        tasks["classification"] = "classifies sounds and pictures"
    if embeds_both(generating.network):
        tasks["retrieval"] = "finds sounds and pictures that fit each other"
    return tasks
