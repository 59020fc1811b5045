"""What `import luthier` may load: NumPy and the standard library, nothing heavy."""

import json
import subprocess
import sys

CODE = """
import json, sys
import numpy
before = set(sys.modules)
import luthier
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_import_loads_the_standard_library_and_numpy_only():
    loaded = json.loads(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, text=True).stdout)
    assert set(loaded) - set(sys.stdlib_module_names) <= {"luthier", "numpy"}


def test_import_loads_no_heavy_part_of_the_standard_library():
    loaded = json.loads(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, text=True).stdout)
    assert not {"asyncio", "http", "multiprocessing", "sqlite3", "unittest", "urllib3"} & set(loaded)


def test_a_star_import_loads_no_pytorch():
    code = "import sys; from luthier import *; assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
