"""M9-11: Kubernetes API versions that clusters no longer serve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# (apiVersion, kind or * for any) -> release that removed it, what to write instead.
_REMOVED = {
    ("extensions/v1beta1", "Ingress"): ("1.22", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "*"): ("1.16", "apps/v1"),
    ("apps/v1beta1", "*"): ("1.16", "apps/v1"),
    ("apps/v1beta2", "*"): ("1.16", "apps/v1"),
    ("networking.k8s.io/v1beta1", "*"): ("1.22", "networking.k8s.io/v1"),
    ("batch/v1beta1", "*"): ("1.25", "batch/v1"),
    ("batch/v2alpha1", "*"): ("1.21", "batch/v1"),
    ("policy/v1beta1", "*"): ("1.25", "policy/v1, or pod security admission"),
    ("autoscaling/v2beta1", "*"): ("1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", "*"): ("1.26", "autoscaling/v2"),
    ("rbac.authorization.k8s.io/v1beta1", "*"): ("1.22", "rbac.authorization.k8s.io/v1"),
    ("apiextensions.k8s.io/v1beta1", "*"): ("1.22", "apiextensions.k8s.io/v1"),
    ("admissionregistration.k8s.io/v1beta1", "*"): ("1.22", "admissionregistration.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "StorageClass"): ("1.22", "storage.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", "*"): ("1.22", "scheduling.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", "*"): ("1.22", "coordination.k8s.io/v1"),
    ("certificates.k8s.io/v1beta1", "*"): ("1.22", "certificates.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta1", "*"): ("1.26", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "*"): ("1.29", "flowcontrol.apiserver.k8s.io/v1"),
}


@rule(
    id="MLE0911",
    name="removed-api",
    step=9,
    severity=HIGH,
    title="A manifest uses a Kubernetes API that no longer exists",
    why="Any cluster that still gets security fixes refuses the manifest: the deployment stops at apply.",
    remedy="Write the current API version, and adapt the fields that changed with it.",
    source="Kubernetes deprecated API migration guide",
    applies=lambda repo: bool(repo.kubernetes),
)
def check(repo: Repo) -> Iterator[Hit]:
    found: dict[tuple[str, str], list[Site]] = {}
    for item in repo.kubernetes:
        version = item.node.get("apiVersion")
        removed = _REMOVED.get((item.api_version, item.kind)) or _REMOVED.get((item.api_version, "*"))
        if version is not None and removed is not None:
            found.setdefault((item.file.path, item.api_version), []).append(version.site(note=item.kind))
    for (path, api), sites in found.items():
        kinds = ", ".join(dict.fromkeys(site.note or "" for site in sites))
        release, instead = _REMOVED.get((api, kinds)) or _REMOVED.get((api, "*"), ("", ""))
        yield Hit(
            sites,
            title=f"{api} {kinds} was removed in Kubernetes {release}",
            remedy=f"Write {instead}, and adapt the fields that changed with it.",
            anchor=f"{path}\0{api}",
        )
