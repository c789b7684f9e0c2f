"""What is packed is what there is: package data, licences, version; .ci/run builds and installs it."""

import tomllib
from pathlib import Path

import pytest

import eclectus

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "eclectus"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]


def _in_a_package(path):
    """Whether setuptools takes a module by itself: every folder down to it is a package."""
    return all((folder / "__init__.py").exists() for folder in path.parents if folder.is_relative_to(PACKAGE))


def test_every_file_of_the_package_is_packed():
    there = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert not SETUPTOOLS["include-package-data"] and not SETUPTOOLS["packages"]["find"]["namespaces"]
    declared = {path for pattern in SETUPTOOLS["package-data"]["eclectus"] for path in PACKAGE.glob(pattern)}
    modules = {path for path in there if path.suffix == ".py" and _in_a_package(path)}
    assert PACKAGE / "base" / "model.safetensors" in there and PACKAGE / "atomic.py" in modules
    assert sorted(there - modules - declared) == [], "add it to package-data in pyproject.toml, or an __init__.py"


@pytest.mark.parametrize("pattern", SETUPTOOLS["package-data"]["eclectus"])
def test_every_pattern_of_package_data_finds_files(pattern):
    assert any(path.is_file() for path in PACKAGE.glob(pattern))


def test_the_licences_of_what_the_base_model_was_made_from_are_packed():
    texts = {
        "LICENSE": "Apache License",
        "licenses/Django-BSD-3-Clause.txt": "Django Software Foundation",
        "licenses/wagtail-BSD-3-Clause.txt": "Torchbox Ltd",
        "licenses/Babel-BSD-3-Clause.txt": "the Babel Team",
        "licenses/CLDR-Unicode-3.0.txt": "UNICODE LICENSE V3",
        "licenses/README.md": "num2words",
    }
    packed = {path.relative_to(ROOT).as_posix() for pattern in PROJECT["license-files"] for path in ROOT.glob(pattern)}
    assert packed == set(texts)
    explained = (ROOT / "licenses" / "README.md").read_text(encoding="utf-8")
    for name, words in texts.items():
        assert words in (ROOT / name).read_text(encoding="utf-8"), name
        assert f"`{Path(name).name}`" in explained or name.endswith("README.md"), name


def test_the_base_model_has_the_licence_of_the_project():
    front = (PACKAGE / "base" / "README.md").read_text(encoding="utf-8").split("---")[1]
    assert f"license: {PROJECT['license'].lower()}\n" in front


def test_version():
    assert PROJECT["version"] == eclectus.__version__
