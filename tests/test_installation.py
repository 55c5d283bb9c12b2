"""Each extra brings what its part of the package imports, and the optimizer imports torch and nothing else."""

import ast
import importlib.metadata as metadata
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from ire.extras import EXTRAS, MissingExtra, explain_missing, extra_of
from trainables.data.text.text_source import HubText

ROOT = Path(__file__).parents[1]
OURS = ("ire", "search_spaces", "trainables")
TORCH_ONLY = (
    "ire/optim",
    "ire/methods",
    "ire/trial",
    "ire/__init__.py",
    "ire/extras.py",
    "ire/invalid_input.py",
)
COMMAND = "from ire.sweeps.command import main; main()"
FOR_SWEEPS = r"pip install 'ire\[inline\]', or 'ire\[sweep\]' for sweeps on Ray"
OF_TORCH = {"torch", "triton"}
"""torch, and the compiler that its wheels bring on Linux; our imports of that are conditional."""


def normal(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def brought(extra: str) -> set[str]:
    """What an extra declares, and what the extras that it includes do."""
    requirements = project()["optional-dependencies"][extra]
    included = [name for r in requirements for name in re.findall(r"^ire\[(\w+)\]", r)]
    return declared(requirements).union(*map(brought, included)) - {"ire"}


@cache
def imported() -> dict[str, set[str]]:
    """Modules that are neither ours nor Python's, and the files that import them, at any depth."""
    found: dict[str, set[str]] = {}
    for file in (f for package in OURS for f in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for top in {name.partition(".")[0] for name in names}:
                if top not in OURS and top not in sys.stdlib_module_names:
                    found.setdefault(top, set()).add(file.relative_to(ROOT).as_posix())
    return found


@cache
def distributions() -> dict[str, list[str]]:
    """By module: the installed distributions that bring it."""
    return dict(metadata.packages_distributions())


def distribution_of(module: str) -> str:
    return normal(distributions().get(module, [module])[0])


def test_the_package_itself_requires_torch_alone():
    assert declared(project()["dependencies"]) == {"torch"}


def test_the_optimizers_rooms_import_torch_alone():
    strangers = {
        f"{file}: {module}"
        for module, files in imported().items()
        for file in files
        if module not in OF_TORCH and file.startswith(TORCH_ONLY)
    }
    assert not strangers


@pytest.mark.parametrize("module", sorted(set(imported()) - OF_TORCH))
def test_every_import_is_declared_by_the_extra_that_its_error_names(module):
    extra = extra_of(module)
    assert extra, f"{module} is in no extra: {sorted(imported()[module])}"
    assert distribution_of(module) in brought(extra)


def test_sweeps_in_one_process_need_what_all_sweeps_need_but_ray():
    assert brought("sweep") - brought("inline") == {"ray"}
    assert "ray" not in brought("inline")


def test_every_extra_of_the_messages_exists():
    assert set(EXTRAS) < set(project()["optional-dependencies"])


def test_a_missing_package_of_an_extra_is_one_line_with_the_command_to_type():
    with pytest.raises(MissingExtra) as error, explain_missing("ire.sweep"):
        raise ModuleNotFoundError("No module named 'ray.tune'", name="ray.tune")
    assert str(error.value) == (
        "ire.sweep needs the package 'ray', which is not installed: pip install 'ire[sweep]'; a sweep with --inline "
        "(inline=True) does without"
    )


def test_a_missing_package_names_the_smallest_extra_that_brings_it():
    brings = {extra: brought(extra) for extra in EXTRAS}
    for extra, packages in EXTRAS.items():
        for smaller in (name for name in brings if brings[name] < brings[extra]):
            assert not {distribution_of(package) for package in packages} & brings[smaller]


def test_a_missing_module_of_a_user_stays_what_it_is():
    with pytest.raises(ModuleNotFoundError, match="my_lab"), explain_missing("ire.sweep"):
        raise ModuleNotFoundError("No module named 'my_lab'", name="my_lab")


def with_torch_alone(code: str) -> subprocess.CompletedProcess:
    """Run `code` in a Python that finds ours, torch's requirements and nothing else."""
    wanted = requirements_of("torch")
    hidden = sorted(
        module
        for module, names in distributions().items()
        if module not in OURS and not {normal(name) for name in names} & wanted
    )
    hide = f"import sys\nsys.modules.update(dict.fromkeys({hidden!r}))\nsys.path.insert(0, {str(ROOT)!r})\n"
    return subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, timeout=120)


def requirements_of(distribution: str) -> set[str]:
    """Normal names of a distribution and all that it requires, without extras."""
    found, left = set(), [distribution]
    while left:
        name = normal(left.pop())
        if name in found:
            continue
        found.add(name)
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        left += [re.match(r"[\w.-]+", r)[0] for r in requirements if "extra ==" not in r]
    return found


def test_import_ire_loads_nothing():
    done = with_torch_alone("import ire\nprint('torch' in sys.modules, ire.__version__)")
    assert done.stdout.split() == ["False", project_version()], done.stderr


def project_version() -> str:
    import ire

    return ire.__version__


def test_the_optimizer_steps_where_torch_alone_is_installed():
    done = with_torch_alone(
        "import torch\n"
        "from ire import IRE, SAM, sampled_nll\n"
        "model = torch.nn.Linear(4, 3)\n"
        "optimizer = IRE(SAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05), kappa=2.0, gamma=0.5)\n"
        "inputs, labels = torch.randn(8, 4), torch.arange(8) % 3\n"
        "sampled_nll(model(inputs)).backward()\n"
        "optimizer.update_mask()\n"
        "def closure():\n"
        "    optimizer.zero_grad()\n"
        "    loss = torch.nn.functional.cross_entropy(model(inputs), labels)\n"
        "    loss.backward()\n"
        "    return loss\n"
        "print(float(optimizer.step(closure)) > 0)\n"
    )
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("from ire import sweep", "ire.sweep"),
        ("from ire import open_experiment", "ire.open_experiment"),
    ],
)
def test_a_sweep_without_its_extra_says_what_to_install(code, what):
    done = with_torch_alone(
        f"from ire.invalid_input import InvalidInput\ntry:\n    {code}\nexcept InvalidInput as error:\n    print(error)"
    )
    assert re.fullmatch(
        rf"{what} needs the package '\w+', which is not installed: {FOR_SWEEPS}\n",
        done.stdout,
    ), done.stderr


def test_a_download_without_the_texts_extra_is_not_taken_for_a_network_that_is_away(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    said = pytest.raises(MissingExtra, match=r"'datasets', .*pip install 'ire\[text\]'")
    with said, explain_missing("`ire data prepare`"):
        HubText(repository="nobody/nothing").splits()


@pytest.mark.parametrize("arguments", [[], ["tasks"], ["sweep", "digits"]])
def test_the_command_without_its_extra_says_what_to_install_in_one_line(arguments):
    done = with_torch_alone(f"sys.argv[1:] = {arguments!r}\nfrom ire.sweeps.command import main\nmain()")
    assert done.returncode == 2
    assert re.fullmatch(
        rf"ire: the `ire` command needs the package '\w+', which is not installed: {FOR_SWEEPS}\n",
        done.stderr,
    )


def test_python_runs_the_package_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "ire", "--version"], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.stdout == f"ire {project_version()}\n", done.stderr


@pytest.mark.slow
def test_a_sweep_in_one_process_runs_where_ray_is_not_installed(tmp_path):
    arguments = [
        *("sweep", "digits", "--inline", "--methods", "sgd,adamw", "--trials", "2", "--confirm-seeds", "0"),
        *("--studies", "1", "--no-curve", "--name", "own", "--storage", str(tmp_path)),
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.modules['ray'] = None; sys.argv[1:] = {arguments!r}; {COMMAND}",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "own" / "report" / "report.html").is_file()


def test_a_wheel_holds_every_file_that_is_no_module():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packed = {
        file
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for file in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    needed = {
        file
        for package in OURS
        for file in (ROOT / package).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }
    assert needed == packed


@pytest.mark.parametrize("package", OURS)
def test_type_checkers_read_the_types_of_every_package(package):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "py.typed" in settings["package-data"][package]
    assert (ROOT / package / "py.typed").is_file()


def test_the_supported_pythons_are_those_that_the_readme_names():
    pythons = [c.rpartition(" ")[2] for c in project()["classifiers"] if "Python :: 3." in c]
    assert project()["requires-python"] == f">={pythons[0]}"
    assert f"Python {pythons[0]} to {pythons[-1]}" in (ROOT / "README.md").read_text(encoding="utf-8")
