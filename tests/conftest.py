"""What all tests share: how Hypothesis draws, and a template of the empty lake."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from trueup.config import Project, parse
from trueup.log.lake import Lake

# Elsewhere each run looks at new examples; where a change is judged, the same ones every time.
settings.register_profile("judged", derandomize=True, deadline=None)
settings.register_profile("searching", deadline=None)
settings.load_profile("judged" if os.environ.get("CI") else "searching")

_AS_CONFIGURED = ("sqlite:lake/catalog.sqlite", "lake/data")


@pytest.fixture(scope="session", autouse=True)
def template_lakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`Lake.create` copies an empty lake of the same settings where the test process made one before: a hundredth of the time.

    Tests in `tests/log` are about making lakes: there each is made in full.
    """
    made, create = dict[tuple[int, str], Path](), Lake.create

    def copied(project: Project) -> None:
        lake, folder = project.config.lake, project.directory / "lake"
        in_full = "tests/log/" in os.environ.get("PYTEST_CURRENT_TEST", "")
        if in_full or (lake.catalog, lake.data) != _AS_CONFIGURED or folder.exists():
            create(project)
            return
        key = lake.buckets, lake.bucket_by
        if key not in made:
            made[key] = tmp_path_factory.mktemp("template")
            create(Project(made[key], parse(f'[lake]\nbuckets = {lake.buckets}\nbucket_by = "{lake.bucket_by}"\n')))
        (folder / "data").mkdir(parents=True)
        shutil.copytree(made[key] / "lake/data", folder / "data", dirs_exist_ok=True)
        shutil.copy(made[key] / "lake/catalog.sqlite", folder / "catalog.sqlite")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "create", staticmethod(copied))
        yield
