import sys
from pathlib import Path

import pytest

from vqindex.datasets import data_folder, paths
from vqindex.datasets.paths import shipped


def test_package_goes_before_the_clone(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "vqindex" / "datasets" / "paths.py"))
    with pytest.raises(FileNotFoundError, match=r"_data.*reinstall"):
        shipped("catalog.toml")
    for folder in ("datasets", "vqindex/_data"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "catalog.toml").touch()
        assert shipped("catalog.toml") == (tmp_path / folder / "catalog.toml").resolve()


def test_data_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("VQINDEX_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("VQINDEX_DATA", "~/sets")
    assert data_folder() == Path.home() / "sets"


@pytest.mark.parametrize(
    ("platform", "variable", "fallback"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
        ("darwin", None, "Library/Caches"),
    ],
)
def test_data_folder_is_in_the_cache_folder(monkeypatch, tmp_path, platform, variable, fallback):
    monkeypatch.delenv("VQINDEX_DATA", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
        assert data_folder() == tmp_path / "vqindex" / "datasets"
        monkeypatch.delenv(variable)
    assert data_folder() == Path.home() / fallback / "vqindex" / "datasets"
