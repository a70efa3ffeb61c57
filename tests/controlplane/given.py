"""A cluster that somebody else runs, used by the same tests: KUBECHAT_TEST_KUBECONFIG names the admin's kubeconfig.

The people of the tests get client certificates signed by that cluster (CertificateSigningRequest), so that they have
the same names and groups there as on our own control plane. Use a cluster that may be thrown away.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.controlplane import certificates
from tests.controlplane.cluster import ControlPlane, KubectlFailed, base64, inline

SIGNER = "kubernetes.io/kube-apiserver-client"
ONE_DAY = 86_400  # seconds


class GivenClusterUnusable(RuntimeError):
    """The kubeconfig can't be used, or its cluster does not sign certificates for people."""


@contextmanager
def given(kubeconfig: Path, kubectl: Path, people: Mapping[str, Sequence[str]]) -> Iterator[ControlPlane]:
    """The cluster of the kubeconfig's current context, with these people. Raises GivenClusterUnusable."""
    with tempfile.TemporaryDirectory(prefix="kubechat-given-cluster-") as folder:
        admins = only_admin(kubeconfig, kubectl, Path(folder))
        signed = {name: inline(signed_pair(admins, name, groups)) for name, groups in people.items() if name != "admin"}
        yield dataclasses.replace(admins, credentials={**admins.credentials, **signed})


def only_admin(kubeconfig: Path, kubectl: Path, folder: Path) -> ControlPlane:
    view = ["config", "view", "--raw", "--flatten", "--minify", "--output=json", f"--kubeconfig={kubeconfig}"]
    done = subprocess.run([kubectl, *view], capture_output=True, text=True)
    if done.returncode != 0:
        raise GivenClusterUnusable(f"{kubeconfig}: {done.stderr.strip()}")
    config = json.loads(done.stdout)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    if "certificate-authority-data" not in cluster:
        raise GivenClusterUnusable(f"{kubeconfig}: the cluster needs a certificate authority, and the file names none")
    return ControlPlane(
        server=cluster["server"],
        authority=b64decode(cluster["certificate-authority-data"]).decode(),
        credentials={"admin": user},
        kubectl_program=kubectl,
        folder=folder,
    )


def signed_pair(plane: ControlPlane, person: str, groups: Sequence[str]) -> certificates.Pair:
    """A person's certificate and key, requested, approved and signed in the cluster."""
    request = certificates.signing_request(person, groups)
    name = f"kubechat-test-{person}-{uuid4().hex[:8]}"
    usage = {"signerName": SIGNER, "usages": ["client auth"], "expirationSeconds": ONE_DAY}
    manifest = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {"request": base64(request.certificate), **usage},
    }
    try:
        plane.kubectl("admin", "create", "-f", "-", stdin=json.dumps(manifest))
        plane.kubectl("admin", "certificate", "approve", name)
        plane.kubectl("admin", "wait", f"csr/{name}", "--for=jsonpath={.status.certificate}", "--timeout=30s")
        signed = plane.kubectl("admin", "get", "csr", name, "--output=jsonpath={.status.certificate}")
        plane.kubectl("admin", "delete", "csr", name)
    except KubectlFailed as failed:
        raise GivenClusterUnusable(f"no certificate for {person} from {plane.server}: {failed}") from failed
    return certificates.Pair(b64decode(signed), request.key)
