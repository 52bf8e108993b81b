"""M10-05: a package that is imported and not declared, or declared and not used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, LOW, MEDIUM, Hit, SeverityName, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Image
    from ml_engineer.assessment.module import Import, Module
    from ml_engineer.assessment.repo import Repo

# Packages that are used without being imported: servers, plug-ins, drivers, formats, tools.
_SILENT = frozenset(
    "pip setuptools wheel gunicorn uwsgi psycopg2-binary psycopg2 mysqlclient openpyxl xlrd pyarrow "
    "fastparquet tables lxml html5lib python-multipart protobuf h5py tensorboard ipykernel ipywidgets jupyter "
    "jupyterlab "
    "notebook nbconvert ipython greenlet types-requests certifi cryptography email-validator python-dotenv "
    "bitsandbytes sentencepiece tiktoken accelerate safetensors hf-transfer kaleido pandas-stubs mkl "
    "numexpr bottleneck s3fs gcsfs adlfs fsspec pysocks tornado watchdog websockets httptools uvloop "
    "itsdangerous jinja2 markupsafe werkzeug click pytz six typing-extensions importlib-metadata scipy pillow "
    "psutil pynvml nvidia-ml-py azure-cli r graphviz pydot tzdata pyopenssl ruamel-yaml mypy-extensions".split()
)
_SILENT_PREFIXES = (
    "types-",
    "pytest",
    "flake8",
    "sphinx",
    "mkdocs",
    "hydra-",
    "dvc-",
    "tensorboard-",
    "opentelemetry-",
    "nvidia-",
    "mypy",
    "pylint",
    "jupyter",
    "apache-airflow-providers",
    "dbt-",
    "torch",
    "tensorflow-",
    "black",
    "isort",
    "ruff",
    "pre-commit",
    "coverage",
    "tox",
    "nox",
    "twine",
    "build",
    "azureml-",
)
# Packages that many others bring along: not surely missing where a declared package is one we know nothing of.
_COMMON = frozenset(
    "numpy pandas scipy requests pyyaml tqdm six packaging click typing-extensions pydantic jinja2 protobuf psutil "
    "joblib pytz python-dateutil attrs urllib3 cloudpickle filelock fsspec rich nbformat markupsafe werkzeug".split()
)
# What images of frameworks hold besides Python, by the last part of their names.
_IMAGES_BRING = {
    "pytorch": frozenset({"torch", "torchvision", "torchaudio"}),
    "tensorflow": frozenset({"tensorflow", "keras"}),
    "uvicorn-gunicorn-fastapi": frozenset({"fastapi", "starlette", "pydantic", "uvicorn", "gunicorn"}),
    "uvicorn-gunicorn-starlette": frozenset({"starlette", "uvicorn", "gunicorn"}),
    "uwsgi-nginx-flask": frozenset({"flask", "werkzeug", "jinja2"}),
}
# What SageMaker's own images hold, by the word that stands for them in the program that starts the job.
_SAGEMAKER_BRINGS = {
    "sklearn": frozenset({"scikit-learn"}),
    "xgboost": frozenset({"xgboost", "scikit-learn"}),
    "pytorch": frozenset({"torch", "torchvision"}),
    "tensorflow": frozenset({"tensorflow"}),
    "huggingface": frozenset({"transformers", "datasets", "torch"}),
    "mxnet": frozenset({"mxnet"}),
}
# What the kernel of every notebook has, and what those of SageMaker's notebooks have besides.
_KERNEL = frozenset({"ipython", "ipykernel", "ipywidgets", "notebook", "jupyter"})
_SAGEMAKER_KERNEL = frozenset(
    "boto3 botocore sagemaker pandas numpy scipy scikit-learn matplotlib seaborn tqdm requests s3fs pyarrow".split()
)
_BESIDE = re.compile(r"\.|(examples?|samples?|demos?|contrib|benchmarks?)/", re.I)
MANY = 40  # a list this long was written by a tool: what it names is not asked for directly


@rule(
    id="MLE1005",
    name="undeclared-import",
    step=10,
    severity=HIGH,
    title="An imported package is not declared",
    why="A fresh environment lacks it, so the code stops at the import.",
    remedy="Declare it with a version where the other dependencies are declared.",
    source="deptry",
    applies=lambda repo: bool(repo.dependencies.files) and bool(repo.dependencies.declared),
)
def check(repo: Repo) -> Iterator[Hit]:
    yield from _undeclared(repo)
    yield from _not_in_images(repo)
    yield from _unused(repo)


def _undeclared(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.distributions import providers
    from ml_engineer.assessment.linking import misplaced
    from ml_engineer.assessment.platforms import brought
    from ml_engineer.assessment.releases import BRINGS, NOT_INSTALLABLE, brought_along

    dependencies = repo.dependencies
    everywhere = {d.name for d in dependencies.declared if d.kind != "notebook"}
    everywhere |= {NOT_INSTALLABLE[name] for name in everywhere if name in NOT_INSTALLABLE}  # MLE1004 says so
    direct = {d.name for d in dependencies.declared if d.direct and d.kind not in ("notebook", "constraints")}
    direct = {NOT_INSTALLABLE.get(name, name) for name in direct or everywhere}
    carriers = brought_along(direct | _in_some_form(repo, direct))
    own = _of_integrations(repo) | _own_names(repo) | _packed(repo)
    given = brought(repo)
    spelled = _joined(everywhere)
    for target in dependencies.third_party:
        names = providers(target)
        if not spelled.isdisjoint(_joined(names)) or names[0] in own or _in_source_tree(repo, names[0]):
            continue
        if any(name.endswith(f"-{names[0]}") for name in everywhere if "-" in names[0]):
            continue  # streamlit-auth0-component brings auth0_component
        if names[0] in given or (names[0] == "apache-airflow" and _airflow_image(repo)):
            continue
        uses = [
            (m, i)
            for m, i in dependencies.imports_of(target)
            if not i.guarded and not _aside(m) and not _is_left_out(i) and not _declared_in(repo, m, names)
        ]
        uses = [(m, i) for m, i in uses if not m.is_notebook or not _in_kernel(repo, m, names[0], target)]
        if not uses or all(misplaced(repo, m, i) for m, i in uses):  # MLE0315 says so
            continue
        carrier = next((carriers[name] for name in names if name in carriers), None)
        severity = _severity(repo, uses, carrier)
        if severity == HIGH and (_told_to_install(repo, target, names) or _comes_with_others(repo, uses)):
            severity = MEDIUM
        if severity == HIGH and names[0] in _COMMON and not direct <= BRINGS.keys():
            severity = MEDIUM
        if severity == HIGH and _may_bring(repo, uses):
            severity = MEDIUM
        title = f"{names[0]} is imported but not declared"
        image = _image_with(repo, uses, names[0])
        if image and not carrier:
            severity = MEDIUM if severity == HIGH else severity
            title = f"{names[0]} is imported but only comes along with the image {image}"
        if carrier:
            title = f"{names[0]} is imported but only comes along with {carrier}"
        yield Hit(_sites(repo, uses), severity=severity, title=title, anchor=f"undeclared {names[0]}")


def _not_in_images(repo: Repo) -> Iterator[Hit]:
    """Packages that some file declares, and that an image which needs them does not install."""
    from ml_engineer.assessment.imagepackages import lacking

    places: dict[str, list[Site]] = {}
    for missing in lacking(repo):
        if missing.known or missing.name not in _COMMON:
            places.setdefault(missing.name, []).extend(
                site for site in (missing.use, missing.run) if site not in places.get(missing.name, ())
            )
    for name, sites in places.items():
        yield Hit(
            sites,
            title=f"{name} is imported and not installed in the image",
            why="The container stops at the import, though another environment of the repository has the package.",
            remedy="Declare it in the file that the image installs, and start the image once in CI.",
            anchor=f"image {name}",
        )


def _joined(names: Iterable[str]) -> set[str]:
    """Names without their hyphens: `import splitfolders` is what split-folders brings."""
    return {name.replace("-", "") for name in names}


def _in_some_form(repo: Repo, direct: set[str]) -> set[str]:
    """The keys `name[extra]` and `name<version` of what is known of packages, where they are declared so."""
    from ml_engineer.assessment.releases import BRINGS

    found = set()
    for key in BRINGS:
        form = re.fullmatch(r"([\w-]+)(?:\[(\w+)\]|<([\d.]+))", key)
        if form is None or form[1] not in direct:
            continue
        if form[3]:
            met = repo.dependencies.may_be_at_least(form[1], form[3]) is False
        else:
            texts = (d.source.quote for d in repo.dependencies.of(form[1]))
            met = any(re.search(rf"\[[^\]]*\b{form[2]}\b", text) for text in texts)
        if met:
            found.add(key)
    return found


def _is_left_out(item: Import) -> bool:
    """Whether the import is made for some versions of Python only, or for a type checker, which runs nothing."""
    return any(re.search(r"sys\.version_info|\bTYPE_CHECKING\b", ast.unparse(test)) for test in item.tests)


def _in_source_tree(repo: Repo, name: str) -> bool:
    """Whether a dependency is taken from a repository of that name: it may hold more packages than it is called by."""
    from ml_engineer.assessment.distributions import canonical

    trees = (d.url.split("#")[0].rstrip("/").rsplit("/", 1)[-1] for d in repo.dependencies.declared if d.url)
    return any(canonical(name) in canonical(tree) for tree in trees)


def _airflow_image(repo: Repo) -> bool:
    """Whether DAGs run in an image of Airflow, which brings the package itself."""
    built = any("airflow" in stage.image.name for docker in repo.dockerfiles for stage in docker.stages)
    return built or any("apache/airflow" in file.text for file in repo.glob("*compose*.yml", "*compose*.yaml"))


def _images(repo: Repo, uses: list[tuple[Module, Import]]) -> list[Image]:
    """The images that the importing programs are copied into, as far as their build contexts tell, else all images."""
    dockers = [d for d in repo.dockerfiles if "test" not in d.file.roles and "pip" in d.file.text]
    folders = {f"{context}/".lstrip("/") for d in dockers for context in d.contexts}
    theirs = {max((f for f in folders if m.path.startswith(f)), key=len, default=None) for m, _ in uses}
    around = [d for d in dockers if not theirs.isdisjoint(f"{context}/".lstrip("/") for context in d.contexts)]
    return [d.final.image for d in around or dockers if d.final is not None]


def _may_bring(repo: Repo, uses: list[tuple[Module, Import]]) -> bool:
    """Whether all images that the program runs in are built upon an application image: what that brings is not seen."""
    from ml_engineer.assessment.docker import PLAIN_IMAGES

    images = _images(repo, uses)
    return bool(images) and all(image.known and image.base not in PLAIN_IMAGES for image in images)


def _image_with(repo: Repo, uses: list[tuple[Module, Import]], name: str) -> str | None:
    """The image of a framework, Docker's or SageMaker's, that programs are run in only and that holds a package."""
    images = _images(repo, uses)
    if images and all(name in _IMAGES_BRING.get(image.base, ()) for image in images):
        return images[0].text
    words = [word for word, held in _SAGEMAKER_BRINGS.items() if name in held]
    for module in repo.modules if words else ():
        if any(item.top == "sagemaker" for item in repo.facts[module.path].imports):
            named = rf"(sagemaker\.|framework\s*=\s*[\"'])({'|'.join(words)})\b"
            if match := re.search(named, module.file.text):
                return f"of SageMaker for {match[2]}"
    return None


def _comes_with_others(repo: Repo, uses: list[tuple[Module, Import]]) -> bool:
    """Whether every file that imports it is for a checkout of another project that the README has the reader clone:
    it imports that project as well, whose tree may hold this."""
    cloned = {
        match[1].lower()
        for file in repo.glob("README*")
        for _, match in file.find(r"git clone \S+/([\w.-]+?)(?:\.git)?/?\s*$")
    }
    return bool(cloned) and all(not cloned.isdisjoint(i.top.lower() for i in m.imports) for m, _ in uses)


def _told_to_install(repo: Repo, target: str, names: tuple[str, ...]) -> bool:
    """Whether the README at the top, a script or a task has it installed: as torch often is, for each machine
    another."""
    words = {target.split(".")[0], *names, *(("pytorch",) if "torch" in names else ())}
    asked = re.compile(rf"\binstall\w*\b[^\n.]{{0,60}}(?<![\w-])({'|'.join(map(re.escape, words))})(?![\w-])", re.I)
    if any(asked.search(file.text) for file in repo.glob("README*") if "/" not in file.path):
        return True
    command = re.compile(rf"\bpip3?\s+install\b[^\n]*(?<![\w-])({'|'.join(map(re.escape, words))})(?![\w-])", re.I)
    return any(command.search(file.text) for file in repo.glob("Makefile", "justfile", "*.sh"))


def _of_integrations(repo: Repo) -> set[str]:
    """What ZenML installs by the names of its integrations."""
    named: set[str] = set()
    for file in repo.glob("Makefile", "*.sh", "README*", "Dockerfile*"):
        for _, match in file.find(r"\bzenml integration install ([\w -]+)"):
            named.update(match[1].split())
    return named | ({"scikit-learn"} if "sklearn" in named else set())


def _aside(module: Module) -> bool:
    return (
        module.file.name in ("setup.py", "noxfile.py", "tasks.py", "fabfile.py", "locustfile.py")
        or "docs" in module.file.roles
        or re.search(r"(^|/)reports?/", module.path) is not None
    )


def _declared_in(repo: Repo, module: Module, names: tuple[str, ...]) -> bool:
    """Whether a notebook installs it itself."""
    return any(d.environment == module.path for name in names for d in repo.dependencies.of(name))


def _in_kernel(repo: Repo, notebook: Module, name: str, target: str) -> bool:
    """Whether the kernel of a notebook brings a package, or a cell fetches the module."""
    if name in _KERNEL:
        return True
    if name in _SAGEMAKER_KERNEL and "sagemaker" in repo.facts[notebook.path].tops:
        return True
    fetched = re.compile(rf"\b(wget|curl|gdown|cp)\b.*\b{re.escape(target)}\.py\b")
    return any(fetched.search(text) for _, text in notebook.source.magics)


def _packed(repo: Repo) -> set[str]:
    """What a build installs into the folder that it ships, or what lies there: `pip install name -t functions/`."""
    from ml_engineer.assessment.declarations import installed
    from ml_engineer.assessment.distributions import canonical

    packing = (c for c in repo.commands if {"-t", "--target"} & set(c.words) and "install" in c.words)
    lying = {path.partition(".dist-info/")[0].rpartition("/")[2] for path in repo.files if ".dist-info/" in path}
    found = {d.name for c in packing for d in installed(" ".join(c.words), c.site, c.site.path, "dockerfile")}
    return found | {canonical(name.partition("-")[0]) for name in lying}


def _own_names(repo: Repo) -> set[str]:
    """Names that the repository publishes itself."""
    from ml_engineer.assessment.declarations import toml
    from ml_engineer.assessment.distributions import canonical

    own = set()
    for file in repo.glob("pyproject.toml"):
        document = toml(file)
        tool = document.get("tool")
        for table in (document.get("project"), tool.get("poetry") if isinstance(tool, dict) else None):
            if isinstance(table, dict) and isinstance(table.get("name"), str):
                own.add(canonical(table["name"]))
    for file in repo.glob("setup.py", "setup.cfg"):
        for _, match in file.find(r"^\s*name\s*=\s*[\"']?([\w.-]+)"):
            own.add(canonical(match[1]))
    return own


def _severity(repo: Repo, uses: list[tuple[Module, Import]], carrier: str | None) -> SeverityName:
    from ml_engineer.assessment.published import is_optional, is_tested_in_ci, on_import

    if carrier:
        return LOW
    # A folder like .github holds what serves the repository itself, one of examples what is shown.
    plain = [(m, i) for m, i in uses if not m.is_notebook and not _BESIDE.match(m.path)]
    library = repo.dependencies.is_library
    plain = [(m, i) for m, i in plain if not library or not repo.dependencies.is_beside(m)]
    if not plain or all(re.match(r"(test_\w+|\w+_test|smoke\w*)\.py$", m.file.name) for m, _ in plain):
        return MEDIUM  # what tries the program out by hand stops, and not the program
    plain = [(m, i) for m, i in plain if not is_optional(repo, m)]
    if not plain:
        return LOW
    if all(_is_asked_for(i) for _, i in plain):
        return LOW
    at_import = any(m.scope_of(i.node) is None and not _in_main(m, i) and not _is_asked_for(i) for m, i in plain)
    if library and not at_import:
        return LOW  # what a published package imports only when it is asked to need not be there
    closures = repo.closure("serve"), repo.closure("train")
    always = [(m, i) for m, i in plain if len(i.tests) <= _in_main(m, i)]  # any other test is that of an option
    needed = any(closure.covers(m, i.node) for m, i in always for closure in closures)
    if all(is_tested_in_ci(repo, m) for m, _ in plain):
        return MEDIUM  # the tests would fail at the import, were it not brought along by something declared
    if library and not needed and (at_once := on_import(repo)) and not any(m in at_once for m, _ in plain):
        return MEDIUM  # a part of the package that is imported by its own name only
    return HIGH if at_import or needed else MEDIUM


def _is_asked_for(item: Import) -> bool:
    """Whether the code asks first whether the package is there."""
    asks = re.compile(r"available|find_spec|installed|\bhas_|\bHAS_|\bHAVE_")
    return any(asks.search(ast.unparse(test)) for test in item.tests)


def _in_main(module: Module, item: Import) -> bool:
    return module.main_guard is not None and module.main_guard in module.ancestors(item.node)


def _sites(repo: Repo, uses: list[tuple[Module, Import]]) -> list[Site]:
    """One place for each file: what serves first, then what trains, then the rest."""
    ranks = {m: rank for rank, kind in ((1, "train"), (0, "serve")) for m in repo.closure(kind).modules}
    first: dict[str, tuple[Module, Import]] = {}
    for module, item in sorted(uses, key=lambda use: (ranks.get(use[0], 2), use[0].is_notebook, use[0].path)):
        first.setdefault(module.path, (module, item))
    return [module.site(item.node) for module, item in first.values()]


def _unused(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.distributions import providers
    from ml_engineer.assessment.releases import BRINGS, NOT_INSTALLABLE

    dependencies = repo.dependencies
    targets = {item.target for facts in repo.facts.values() for item in facts.imports if item.top}
    used = {name for target in targets.union(dependencies.third_party) for name in providers(target)}
    used |= {name for a in repo.artefacts for item in a.globals for name in providers(item)}
    used |= {wrong for wrong, meant in NOT_INSTALLABLE.items() if meant in used}
    spelled = _joined(used)
    programs = {command.program for command in repo.commands}
    by_file: dict[str, list[Site]] = {}
    counts: dict[str, int] = {}
    for declared in dependencies.declared:
        counts[declared.environment] = counts.get(declared.environment, 0) + 1
        if (
            declared.kind in ("lock", "constraints", "notebook", "dockerfile", "script")
            or declared.group
            or declared.url
        ):
            continue
        name = declared.name
        if name.replace("-", "") in spelled or name in _SILENT or name.startswith(_SILENT_PREFIXES) or name in programs:
            continue
        if any(name in BRINGS.get(other, "").split() for other in used):
            continue  # a bound on what another package brings along
        by_file.setdefault(declared.environment, []).append(declared.source)
    for path, sites in by_file.items():
        if counts[path] <= MANY:
            yield Hit(
                sites,
                severity=LOW,
                confidence="medium",
                title=f"Declared in {path} but never imported"
                + (f" ({len(sites)} packages)" if len(sites) > 1 else ""),
                why="It makes the environment larger and slower to build, and every package is one more to be trusted.",
                remedy="Remove it, or say in a comment what needs it.",
                anchor=f"unused {path}",
            )
