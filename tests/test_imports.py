"""Every module of the package imports by itself."""

import importlib
import pkgutil

import pytest

import ncf_spark

MODULES = [module.name for module in pkgutil.walk_packages(ncf_spark.__path__, "ncf_spark.")]
# Needed on the machines that train only; an environment without them can do all the rest.
OPTIONAL = {"horovod", "petastorm", "torchdistx"}


@pytest.mark.parametrize("name", MODULES)
def test_the_module_imports(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"{error.name} is not installed")


def test_the_modules_are_found():
    assert {"ncf_spark.schemas", "ncf_spark.model.heads", "ncf_spark.storage.runs"} <= set(MODULES)
