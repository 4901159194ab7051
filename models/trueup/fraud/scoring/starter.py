"""The starter: a model that comes with the program, trained on simulated operators, for one that has no labels yet."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model import load_model

NAME = "starter"


def install(project: Project) -> str:
    """Copy the starter into a project's folder of models, and return its id; one that is there stays."""
    with as_file(files("trueup.fraud") / NAME) as folder:
        if not folder.is_dir():
            raise TrueupError("this installation has no starter model", todo="install the package again, or use `detectors`")
        model = load_model(folder, telecom_features())
        target: Path = project.resolve(project.config.fraud.models) / model.model_id
        if not target.exists():
            shutil.copytree(folder, target)
        return model.model_id
