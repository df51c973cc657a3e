"""The archive around a model: paths, ends, members, sizes, checksums."""

import os
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import keras_files as files
import pytest

from kdistill.core.errors import ModelError
from kdistill.modelfiles import container

WHOLE = {"metadata.json": b"{}", "config.json": b"{}" * 50, "model.weights.h5": b"weights" * 50}


@pytest.fixture
def path(tmp_path):
    return files.write(tmp_path / "m.keras", WHOLE)


def refused(path, message):
    with pytest.raises(ModelError, match=message) as caught:
        container.read(path)
    assert caught.value.hint or "too large" in message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_whole(tmp_path, method):
    assert container.read(files.write(tmp_path / "m.keras", WHOLE, method)) == WHOLE


@pytest.mark.parametrize("address", ["https://x.org/m.keras", "hf://a/m.keras", "gs://b/m.keras", "file:///m.keras"])
def test_addresses_are_refused(address):
    """A Path has one slash left of two."""
    refused(Path(address), "expected a file on this machine; received an address")


def test_paths_that_lead_to_no_regular_file_are_refused(tmp_path, path):
    refused(tmp_path / "missing.keras", "no such model file")
    refused(path / "below.keras", "no such model file")
    (tmp_path / "dangling.keras").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "dangling.keras", "no such model file")
    (tmp_path / "folder.keras").mkdir()
    refused(tmp_path / "folder.keras", "received a folder")
    os.mkfifo(tmp_path / "pipe.keras")
    refused(tmp_path / "pipe.keras", "received a pipe, socket or device")
    (tmp_path / "loop.keras").symlink_to(tmp_path / "loop.keras")
    refused(tmp_path / "loop.keras", "cannot be read")
    refused(tmp_path / ("x" * 300 + ".keras"), "cannot be read: File name too long")
    refused(Path("a\0b.keras"), "cannot be read")


def test_a_link_to_a_device_is_refused_by_what_it_leads_to(tmp_path):
    (tmp_path / "zero.keras").symlink_to("/dev/zero")
    refused(tmp_path / "zero.keras", "received a pipe, socket or device")


def test_a_link_to_a_model_is_followed(tmp_path, path):
    (tmp_path / "link.keras").symlink_to(path)
    assert container.read(tmp_path / "link.keras") == WHOLE


def test_an_unreadable_file_is_a_message(path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    refused(path, "cannot be read: Permission denied")


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "m.zip", "m.keras.pkl", "keras"])
def test_other_endings_are_refused(tmp_path, name):
    refused(files.write(tmp_path / name, WHOLE), r"expected a `\.keras` file; received one")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "expected a zip archive"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 500, "expected a zip archive"),
        (b"PK\x03\x04", "cut off"),
        (b"PK\x03\x04" + b"\0" * 100, "cut off"),
    ],
)
def test_files_that_are_no_archives_are_refused(tmp_path, content, message):
    (tmp_path / "m.keras").write_bytes(content)
    refused(tmp_path / "m.keras", message)


def test_something_before_or_after_the_archive_is_refused(tmp_path, path):
    whole = path.read_bytes()
    path.write_bytes(b"#!/bin/sh\n" + whole)
    refused(path, "expected a zip archive")
    path.write_bytes(whole + b"\0")
    refused(path, "cut off, or the end of the archive is not its end")
    with zipfile.ZipFile(files.write(tmp_path / "c.keras", WHOLE), "a") as archive:
        archive.comment = b"PK"
    refused(tmp_path / "c.keras", "damaged")


def test_a_directory_of_many_members_is_refused_before_it_is_read(tmp_path, monkeypatch):
    many = {f"{number}.json": b"" for number in range(1000)}
    path = files.write(tmp_path / "m.keras", {**WHOLE, **many})
    monkeypatch.setattr("zipfile.ZipFile", lambda *_: pytest.fail("the directory was read"))
    refused(path, "expected 3 members; received 1003")


def test_a_record_of_zip64_is_refused(path):
    """It would hold in place of the end that was looked at."""
    whole = path.read_bytes()
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 1)
    path.write_bytes(whole[: -container.END.size] + locator + whole[-container.END.size :])
    refused(path, "the end of the archive is not as Keras writes it")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "assets", "config.json/", "Config.json", "a\\b", "\x1b[2J"])
def test_other_members_are_refused(tmp_path, name):
    """In place of a member that has to be there, so that the number is right."""
    content = [(name if known == "metadata.json" else known, data) for known, data in WHOLE.items()]
    refused(files.write(tmp_path / "m.keras", content), "not accepted: expected the members metadata.json, config.json")


def test_a_name_with_a_hidden_end_is_refused(path):
    """Python's zipfile would take this one for config.json."""
    path.write_bytes(path.read_bytes().replace(b"metadata.json", b"config.json\0x"))
    refused(path, r"received 'config\.json\\x00x'")


def test_a_member_too_many_is_refused(tmp_path):
    refused(files.write(tmp_path / "m.keras", {**WHOLE, "more": b""}), "received 'more'")


def test_the_files_of_a_layer_are_told_with_the_layers_that_have_them(tmp_path):
    path = files.write(tmp_path / "m.keras", {**WHOLE, "assets/layers/text_vectorization/vocabulary.txt": b"a"})
    refused(path, "it keeps 'assets/layers/text_vectorization/vocabulary.txt' .*TextVectorization, StringLookup")


def test_a_member_that_is_there_twice_is_refused(tmp_path):
    content = [("config.json", b"{}"), ("config.json", b"[]"), ("model.weights.h5", b"")]
    with warnings.catch_warnings(action="ignore"):
        path = files.write(tmp_path / "m.keras", content)
    refused(path, "holds config.json twice")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["config.json"], "metadata.json, model.weights.h5 are missing"),
        (["metadata.json", "model.weights.h5"], "config.json is missing"),
        ([], "expected a zip archive"),
    ],
)
def test_a_missing_member_is_named(tmp_path, names, message):
    refused(files.write(tmp_path / "m.keras", {name: WHOLE[name] for name in names}), message)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path, method):
    refused(files.write(tmp_path / "m.keras", WHOLE, method), "expected metadata.json stored or deflated; received")


def directory_entry(whole, name):
    """Return where the entry of `name` in the archive's directory starts."""
    return whole.rindex(b"PK\x01\x02", 0, whole.rindex(name))


def test_encrypted_members_are_refused(path):
    whole = bytearray(path.read_bytes())
    whole[directory_entry(whole, b"config.json") + 8] |= 1
    path.write_bytes(whole)
    refused(path, "config.json is encrypted")


def test_a_flipped_bit_in_a_member_is_found(path):
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"weights" * 2)] ^= 1
    path.write_bytes(whole)
    refused(path, "model.weights.h5 fails its checksum")


@pytest.mark.parametrize("name", list(container.LIMITS))
def test_sizes_are_judged_before_unpacking(path, name, monkeypatch):
    whole = bytearray(path.read_bytes())
    start = directory_entry(whole, name.encode())
    struct.pack_into("<L", whole, start + 24, container.LIMITS[name] + 1)
    path.write_bytes(whole)
    monkeypatch.setattr("zipfile.ZipFile.open", lambda *_: pytest.fail("unpacked"))
    refused(path, "too large: expected at most")


def test_a_file_that_is_too_large_is_not_opened(path, monkeypatch):
    os.truncate(path, sum(container.LIMITS.values()) + container.OVERHEAD + 1)  # sparse
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("opened"))
    refused(path, "expected at most 2151[0-9]* bytes; received")


def test_a_zip_bomb_is_refused_before_unpacking(tmp_path, monkeypatch):
    content = {**WHOLE, "model.weights.h5": bytes(64 * container.MIB)}
    path = files.write(tmp_path / "m.keras", content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("zipfile.ZipFile.open", lambda *_: pytest.fail("unpacked"))
    refused(path, "model.weights.h5 unpacks 65[0-9]* bytes to 67108864")


def test_a_zip_bomb_that_declares_little_is_refused(tmp_path):
    """Python's zipfile, through which Keras reads, would unpack all 64 MiB of it and return the first bytes."""
    content = {**WHOLE, "model.weights.h5": bytes(64 * container.MIB)}
    path = files.write(tmp_path / "m.keras", content, zipfile.ZIP_DEFLATED)
    whole = bytearray(path.read_bytes())
    start = directory_entry(whole, b"model.weights.h5")
    struct.pack_into("<L", whole, start + 16, zlib.crc32(bytes(100)))
    struct.pack_into("<L", whole, start + 24, 100)
    path.write_bytes(whole)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("model.weights.h5") == bytes(100)
    refused(path, "model.weights.h5 is not as long as the archive says")
