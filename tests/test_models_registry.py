"""The folder of published models; the web is a server on this machine."""

import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from sam2_core.errors import ModelError
from sam2_core.models import download, registry
from sam2_core.models.config import CONFIGS, config
from sam2_core.models.sam2 import SAM2

BODY = bytes(range(256)) * 10_000
DIGEST = hashlib.sha256(BODY).hexdigest()
TINY = "facebook/sam2.1-hiera-tiny/resolve/main/sam2.1_hiera_tiny.pt"


class Web(BaseHTTPRequestHandler):
    """Serves BODY, in the ways that a hub does and in some that it should not."""

    told = DIGEST
    cut = False
    requests: list[str] = []  # noqa: RUF012  # emptied by the fixture

    def do_GET(self):
        self.requests.append(self.path)
        if self.path == f"/{TINY}":  # the hub tells the hash and sends you elsewhere
            self.send_response(302)
            self.send_header("X-Linked-Etag", f'"{self.told}"')
            self.send_header("Location", "/cdn/abc")
            self.end_headers()
        elif self.path in ("/cdn/abc", "/plain"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:1000] if self.cut else BODY)
        else:
            self.send_error(404)

    def log_message(self, *args):
        pass


@pytest.fixture
def web(monkeypatch, tmp_path):
    server = HTTPServer(("127.0.0.1", 0), Web)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(Web, "requests", [])
    address = f"http://127.0.0.1:{server.server_port}"
    use(monkeypatch, tmp_path, address)
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def offline(monkeypatch, tmp_path):
    use(monkeypatch, tmp_path, "http://127.0.0.1:9")


def use(monkeypatch, tmp_path, address):
    """Everything at that address; our folder below tmp_path."""
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache" / "models"))
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    nowhere = {
        name: registry.Published(m.name, m.file_name, f"{address}/meta/{m.file_name}", m.hub_id)
        for name, m in registry.PUBLISHED.items()
    }
    monkeypatch.setattr(registry, "PUBLISHED", nowhere)


def finish(generator):
    """All that a generator yields, and what it returns."""
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as stop:
            return steps, stop.value


def leftovers():
    folder = registry.cache_folder()
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_eight_models_are_published():
    assert set(registry.PUBLISHED) == set(CONFIGS) - {"nano"}
    base = registry.PUBLISHED["sam2.1-base-plus"]
    assert base.url == "https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_base_plus.pt"
    assert base.hub_id == "facebook/sam2.1-hiera-base-plus"
    assert registry.PUBLISHED["sam2-tiny"].url.endswith("/072824/sam2_hiera_tiny.pt")
    with pytest.raises(ModelError, match="no published model is called 'sam3'; there are: sam2-tiny"):
        registry.find("sam3")


def test_the_hub_is_where_users_expect_it(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert registry.PUBLISHED["sam2.1-tiny"].hub_url == f"https://huggingface.co/{TINY}"


def test_the_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path))
    assert registry.cache_folder() == tmp_path
    monkeypatch.delenv("SAM2_CACHE")
    assert registry.cache_folder().parts[-2:] == (".cache", "sam2-core")


def test_a_fetched_model_is_found_with_its_hash(web):
    assert not registry.is_cached("sam2.1-tiny")
    steps, path = finish(registry.fetch("sam2.1-tiny"))
    assert path.read_bytes() == BODY
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1] == (len(BODY), len(BODY))
    assert len(steps) > 1
    assert registry.is_cached("sam2.1-tiny")
    assert registry.find("sam2.1-tiny") == path
    assert path.with_name(path.name + ".sha256").read_text() == f"{DIGEST}  sam2.1_hiera_tiny.pt\n"
    assert leftovers() == ["sam2.1_hiera_tiny.pt", "sam2.1_hiera_tiny.pt.sha256"]


def test_fetching_again_downloads_nothing(web):
    finish(registry.fetch("sam2.1-tiny"))
    count = len(Web.requests)
    assert finish(registry.fetch("sam2.1-tiny"))[0] == []
    assert len(Web.requests) == count


def test_a_hash_that_the_hub_tells_is_checked(web, monkeypatch):
    monkeypatch.setattr(Web, "told", "0" * 64)
    with pytest.raises(ModelError, match=f"sha256 {DIGEST}; expected 0000"):
        finish(registry.fetch("sam2.1-tiny"))
    assert leftovers() == []


def test_a_hash_that_the_user_knows_is_checked(web):
    with pytest.raises(ModelError, match="expected 1111"):
        finish(registry.fetch("sam2.1-tiny", sha256="1" * 64))
    finish(registry.fetch("sam2.1-tiny", sha256=DIGEST.upper()))
    with pytest.raises(ModelError, match="expected 1111"):
        finish(registry.fetch("sam2.1-tiny", sha256="1" * 64))


def test_a_broken_connection_leaves_nothing(web, monkeypatch):
    monkeypatch.setattr(Web, "cut", True)
    with pytest.raises(ModelError, match=r"'sam2 models import.*broke after 1000 of 2560000 bytes"):
        finish(registry.fetch("sam2.1-tiny"))
    assert leftovers() == []


def test_stopping_leaves_nothing(web):
    generator = registry.fetch("sam2.1-tiny")
    next(generator)
    generator.close()
    assert leftovers() == []


def test_metas_server_is_asked_when_the_hub_has_nothing(web, monkeypatch):
    model = registry.PUBLISHED["sam2-small"]
    here = registry.Published(model.name, model.file_name, f"{web}/plain", model.hub_id)
    monkeypatch.setattr(registry, "PUBLISHED", {model.name: here})
    finish(registry.fetch("sam2-small"))
    assert registry.find("sam2-small").read_bytes() == BODY


def test_without_a_network_the_message_says_what_to_do(offline):
    with pytest.raises(ModelError) as caught:
        finish(registry.fetch("sam2.1-large"))
    message = str(caught.value)
    assert "\n" not in message
    assert "sam2.1-large could not be downloaded" in message
    assert (
        "/meta/sam2.1_hiera_large.pt elsewhere and run 'sam2 models import sam2.1_hiera_large.pt'" in message
    )


def test_a_model_that_is_not_there_says_how_to_get_it(offline):
    with pytest.raises(ModelError, match="run 'sam2 models fetch sam2-tiny', or download http"):
        registry.find("sam2-tiny")


def test_a_file_that_changes_is_not_used(web):
    _, path = finish(registry.fetch("sam2.1-tiny"))
    path.write_bytes(BODY[:-1] + b"x")
    for use_it in (lambda: registry.find("sam2.1-tiny"), lambda: finish(registry.fetch("sam2.1-tiny"))):
        with pytest.raises(ModelError, match="has changed since it was put there"):
            use_it()


def test_a_file_put_there_by_hand_is_held_to_its_hash(offline):
    path = registry.cache_folder() / "sam2-tiny.pt"
    path = path.with_name("sam2_hiera_tiny.pt")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    assert registry.find("sam2-tiny") == path
    path.write_bytes(b"two")
    with pytest.raises(ModelError, match="has changed"):
        registry.find("sam2-tiny")


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("web") / "downloaded (1).pt"
    torch.save({"model": SAM2(config("sam2.1-tiny")).bfloat16().state_dict()}, path)
    return path


def test_an_imported_file_is_recognised_and_found(offline, tiny_file):
    digest = download.sha256_of(tiny_file)
    path = registry.import_file(tiny_file, sha256=digest)
    assert path.name == "sam2.1_hiera_tiny.pt"
    assert registry.find("sam2.1-tiny") == path == registry.import_file(tiny_file, "sam2.1-tiny")
    assert leftovers() == ["sam2.1_hiera_tiny.pt", "sam2.1_hiera_tiny.pt.sha256"]


def test_importing_the_wrong_thing_is_refused(offline, tiny_file, tmp_path):
    with pytest.raises(ModelError, match=r"is sam2\.1-tiny, not sam2-tiny"):
        registry.import_file(tiny_file, "sam2-tiny")
    with pytest.raises(ModelError, match="expected 1111"):
        registry.import_file(tiny_file, sha256="1" * 64)
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(ModelError, match="not a checkpoint"):
        registry.import_file(tmp_path / "text.pt")
    assert leftovers() == []


def test_importing_never_replaces_another_file(offline, tiny_file):
    target = registry.import_file(tiny_file)
    target.write_bytes(b"other weights of the same size")
    with pytest.raises(ModelError, match="another file is already at"):
        registry.import_file(tiny_file)
    assert target.read_bytes() == b"other weights of the same size"


def test_a_folder_that_cannot_be_made_is_one_error(offline, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "file" / "models"))
    with pytest.raises(ModelError, match="cannot make the folder"):
        finish(registry.fetch("sam2-tiny"))


def test_a_full_disk_is_said_at_once_and_nobody_else_is_asked(web, monkeypatch, tmp_path):
    """A link to a device that is always full, in the place of the partial file."""
    monkeypatch.setattr("sam2_core.files.secrets.token_hex", lambda size: "0")
    folder = registry.cache_folder()
    folder.mkdir(parents=True)
    target = folder / registry.PUBLISHED["sam2.1-tiny"].file_name
    (folder / f".{target.name}.{os.getpid()}.0.part").symlink_to("/dev/full")
    with pytest.raises(ModelError, match=r"cannot write .*: No space left on device"):
        finish(registry.fetch("sam2.1-tiny"))
    assert not any("meta" in path for path in Web.requests)
    assert leftovers() == []


def test_a_note_of_the_hash_that_is_no_text_is_one_error(web):
    _, path = finish(registry.fetch("sam2.1-tiny"))
    path.with_name(path.name + ".sha256").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="has changed"):
        registry.find("sam2.1-tiny")
