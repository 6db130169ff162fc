"""The pages under docs/python name the public API, have valid links, and contain valid Python."""

import inspect
import re
from pathlib import Path

import pytest

import sayso
from sayso import conformance, lerobot, wrappers

PAGES = Path(__file__).parents[2] / "docs" / "python"
API = (PAGES / "api.md").read_text()

PUBLIC = [
    *(getattr(sayso, name) for name in sayso.__all__ if not name.startswith("__")),
    wrappers.LanguageReward,
    wrappers.VectorLanguageReward,
    lerobot.make_envs,
    lerobot.LeRobotVectorEnv,
    conformance.check_vector_env,
    conformance.run_checks,
    conformance.ConformanceError,
    conformance.Subject,
]


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_the_reference_names_every_argument_and_method(thing):
    assert re.search(rf"\b{thing.__name__}\b", API)
    if isinstance(thing, type) and issubclass(thing, Exception):
        return
    names = [name for name in inspect.signature(thing).parameters if name not in ("unknown", "args", "kwargs")]
    if isinstance(thing, type):
        names += [name for name, value in vars(thing).items() if not name.startswith("_") and callable(value)]
    missing = [name for name in names if not re.search(rf"\b{name}\b", API) and name != "close_extras"]
    assert not missing, f"{thing.__name__}: {missing}"


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_links_are_valid(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name}: {target}"
        assert not anchor or f'id="{anchor}"' in linked.read_text(), f"{page.name}: {target}"


def snippets():
    for page in sorted(PAGES.glob("*.md")):
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            yield pytest.param(block, id=f"{page.stem}: {block.strip().splitlines()[0][:40]}")


@pytest.mark.parametrize("block", list(snippets()))
def test_snippets_are_python(block):
    compile(block, "a page", "exec")
