"""Where the control plane's programs are taken from, and what is said when they can't be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.controlplane import build


def put_programs(folder: Path, names: Iterable[str]) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch(mode=0o755)
    return folder


def test_named_assets_come_before_the_cache_and_tell_what_they_lack(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    cache = put_programs(build.cache_folder(environ), build.PACKAGES)
    assets = put_programs(tmp_path / "assets", build.ESSENTIAL)
    assert build.find(environ) == build.Programs(cache)
    assert build.find(environ).missing == ()
    found = build.find({**environ, "KUBEBUILDER_ASSETS": str(assets)})
    assert found == build.Programs(assets)
    assert found.missing == ("kube-controller-manager", "kube-scheduler", "kwok")


def test_assets_without_an_essential_program_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assets = put_programs(tmp_path / "assets", ("etcd", "kube-apiserver"))
    with pytest.raises(build.ProgramsMissing, match=r"python -m tests\.controlplane\.build"):
        build.find({"XDG_CACHE_HOME": str(tmp_path), "KUBEBUILDER_ASSETS": str(assets)})
    assert "lacks kubectl" in capsys.readouterr().err


def test_a_half_built_cache_is_not_used(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    put_programs(build.cache_folder(environ), build.ESSENTIAL)
    with pytest.raises(build.ProgramsMissing):
        build.find(environ)


def test_what_is_built_is_not_built_again(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    folder = put_programs(build.cache_folder(environ), build.PACKAGES)
    assert build.build(environ) == build.Programs(folder)


def test_building_without_go_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(build.BuildFailed, match=r"needs Go 1\.\d+.*--install-go"):
        build.build({"XDG_CACHE_HOME": str(tmp_path), "PATH": ""})


def test_a_go_that_refuses_the_module_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put_programs(tmp_path / "bin", ())
    (folder / "go").write_text("#!/bin/sh\necho 'go.mod requires go >= 1.26.0' >&2\nexit 1\n")
    (folder / "go").chmod(0o755)
    with pytest.raises(build.BuildFailed, match="needs Go"):
        build.build({"XDG_CACHE_HOME": str(tmp_path), "PATH": f"{folder}:/bin:/usr/bin"})
    assert "go.mod requires go" in capsys.readouterr().err


def test_the_programs_are_stamped_with_the_version_that_go_mod_pins() -> None:
    kubernetes = build.pinned("k8s.io/kubernetes")
    assert f"-X k8s.io/component-base/version.gitVersion={kubernetes}" in build.link_flags()
    staging = [line for line in (build.HERE / "go.mod").read_text().splitlines() if " => k8s.io/" in line]
    assert staging, "the staging modules are replaced"
    # v1.36.3 of Kubernetes is published as v0.36.3 of each of its modules.
    assert {line.split()[-1] for line in staging} == {kubernetes.replace("v1.", "v0.", 1)}


def test_a_failed_build_repeats_gos_words_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = put_programs(tmp_path / "bin", ())
    (folder / "go").write_text("#!/bin/sh\n[ $1 = env ] && exit\necho 'no space left on device' >&2\nexit 1\n")
    (folder / "go").chmod(0o755)
    environ = {"XDG_CACHE_HOME": str(tmp_path), "PATH": f"{folder}:/bin:/usr/bin"}
    with pytest.raises(build.BuildFailed, match=r"could not build kube-apiserver:\nno space left"):
        build.build(environ)
    assert [path.name for path in build.cache_folder(environ).iterdir()] == [".lock"]
