"""The floor of nets and training: they know the tuner only through a run that they are given."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import luthier

ROOT = Path(luthier.__file__).parent
MODULES = sorted([*ROOT.glob("nets/*.py"), *ROOT.glob("training/*.py")])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_nets_and_training_import_nothing_of_the_tuner(path):
    allowed = ["luthier.errors", "luthier.durable", "luthier.nets"]
    allowed += ["luthier.training"] if path.parent.name == "training" else []
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert all(name.startswith(tuple(allowed)) for name in names if name.startswith("luthier"))


def test_a_recipes_space_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None\nfrom luthier.recipes import recipe\nprint(recipe('image').default)"
    assert "adamw" in subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
