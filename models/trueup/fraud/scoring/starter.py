"""The starter: a model that is part of trueup, trained on simulated operators, for operators without labels."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model import Model, load_model

NAME = "starter"


def starter_model() -> Model:
    """Return the starter; raise `TrueupError` where the installation has none."""
    with as_file(files("trueup.fraud") / NAME) as folder:
        if not folder.is_dir():
            raise TrueupError("this installation has no starter model", todo="install the package again, or use `detectors`")
        return load_model(folder, telecom_features())


def install(project: Project) -> str:
    """Copy the starter into a project's folder of models unless it is there, and return its id."""
    model = starter_model()
    target: Path = project.resolve(project.config.fraud.models) / model.model_id
    if not target.exists():
        with as_file(files("trueup.fraud") / NAME) as folder:
            shutil.copytree(folder, target)
    return model.model_id
