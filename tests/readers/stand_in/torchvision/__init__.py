"""Stands in for torchvision where there is none: all of it can be imported, and nothing of it works.

BasicSR imports it for networks and pictures that no test here makes; its builds want torch with CUDA.
Its old modules are there too, which BasicSR 1.4.2 asks for and torchvision has no more.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence

import torch

__version__ = "0"


class _Module(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012  # any module may hold others

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (torch.nn.Module,), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith("torchvision."):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


sys.meta_path.insert(0, _Finder())
for _name in ("models.inception", "ops", "utils"):
    importlib.import_module(f"torchvision.{_name}")
