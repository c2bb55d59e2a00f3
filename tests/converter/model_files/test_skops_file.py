"""Hostile .skops files end in an error."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import skops.io

from sklearn2rknn import ModelFileError
from sklearn2rknn.estimators.model_file import load_model
from tests.converter.fitted import fit


def test_skops_members_larger_than_the_file_may_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn2rknn.estimators.model_file._SMALL", 1 << 20)
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (8 << 20))
    with pytest.raises(ModelFileError, match="hold more than 1 MiB"):
        load_model(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_skops_member_larger_than_it_says_is_not_decompressed(tmp_path: Path, method: int) -> None:
    path, size = tmp_path / "model.skops", 32 << 20
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("schema.json", bytes(size))
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (9).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=r"model\.skops"):
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < size // 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("limit", ["_MOST_SCHEMA", "_MOST_BRACKETS"])
def test_skops_file_of_more_objects_than_a_model_has_is_refused(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"sklearn2rknn.model_files.skops_file.{limit}", 9)
    _skops_with(lambda schema: None, tmp_path / "model.skops")
    with pytest.raises(ModelFileError, match="describes more objects than any model holds"):
        load_model(tmp_path / "model.skops")


def _skops_with(change: Any, path: Path) -> None:
    """Write a .skops file of a perceptron whose schema was changed."""
    plain = io.BytesIO()
    skops.io.dump(fit("softmax")[0], plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "schema.json":
                schema = json.loads(data)
                change(schema)
                data = json.dumps(schema).encode()
            target.writestr(name, data)


def _method(schema: Any) -> None:
    schema["content"]["content"]["coefs_"] = {
        "__loader__": "MethodNode",
        "__module__": "numpy",
        "__class__": "ndarray",
        "content": {"func": "tofile"},
    }


def _class_as_list(schema: Any) -> None:
    schema["content"]["content"]["coefs_"].update(__module__="subprocess", __class__="Popen")


def _dunder(schema: Any) -> None:
    schema["content"]["content"]["__class__"] = schema["content"]["content"]["coefs_"]
    schema["content"]["key_types"]["content"].append(schema["content"]["key_types"]["content"][0])


def _number_of_a_class(schema: Any) -> None:
    schema["content"]["content"]["coefs_"]["content"][0].update(__module__="os", __class__="system")


def _another_class(schema: Any) -> None:
    schema.update(__module__="tests.converter.model_files.tripwire", __class__="Class")


def _lost_part(schema: Any) -> None:
    schema["content"]["content"]["coefs_"]["content"][0]["file"] = "../../etc/passwd"


@pytest.mark.parametrize(
    "change", [_method, _class_as_list, _dunder, _number_of_a_class, _another_class, _lost_part]
)
def test_hostile_skops_file_is_refused(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "model.skops"
    _skops_with(change, path)
    with pytest.raises(ModelFileError, match=r"model\.skops"):
        load_model(path)
    assert "tests.converter.model_files.tripwire" not in sys.modules
