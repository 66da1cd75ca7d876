"""Makes projects of the sites in `sites/`, and runs them: gunicorn, two workers, behind a `penstock proxy`."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .serving import SRC, free_port, serving

SITES = Path(__file__).with_name("sites")
HOW_TO = Path(__file__).parents[2] / "docs" / "howto" / "django.md"
USERS = ("alina", "boris", "chiara")
"""Names that are in no page unless somebody is greeted."""
READY = {"polls": "/polls/", "shop": "/about/", "wagtail": "/"}
_FILE = re.compile(r"^<!-- run: file (?P<name>[^ ]+) -->\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def file_in_how_to(name: str) -> str:
    """What docs/howto/django.md says that the file `name` holds. Raises KeyError where it says nothing."""
    return {found["name"]: found["text"] for found in _FILE.finditer(HOW_TO.read_text())}[name]


def policy_for(site: str) -> str:
    """The policy of the how-to, with the line that it adds for a site in several languages."""
    return (file_in_how_to("languages.toml") if site == "shop" else "") + file_in_how_to("cache.toml")


@dataclass(frozen=True)
class Project:
    """A site that can be run: the folder with manage.py, and the environment of its processes."""

    name: str
    folder: Path
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Running:
    """The address that visitors know."""

    site: str
    url: str


def make_project(name: str, folder: Path) -> Project:
    """The site `name` (polls, shop or wagtail) in `folder`, with a database and the users `USERS`."""
    folder.mkdir()
    apps, start = ("", "mysite.settings.base") if name == "wagtail" else (name, "mysite.settings")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "trial_settings",
        "TRIAL_START_SETTINGS": start,
        "TRIAL_APPS": apps,
        "PYTHONPATH": str(SRC),
        "PYTHONWARNINGS": "default",
    }
    project = Project(name, folder, environment)
    begin = ["-m", "django", "startproject", "mysite", "."]
    if name == "wagtail":
        begin = ["-c", "from wagtail.bin.wagtail import main; main()", "start", "mysite", "."]
    _python(project, *begin, DJANGO_SETTINGS_MODULE="")
    for script in SITES.glob("trial_*.py"):
        shutil.copy(script, folder)
    for module in ("penstock_purge.py", "penstock_wagtail.py"):
        (folder / module).write_text(file_in_how_to(module))
    if apps:
        shutil.copytree(SITES / apps, folder / apps)
        if apps == "shop":
            (folder / "shop" / "signals.py").write_text(file_in_how_to("signals.py"))
        _python(project, "manage.py", "makemigrations", "--verbosity=0", apps)
    _python(project, "manage.py", "migrate", "--verbosity=0")
    _python(project, "trial_data.py", *USERS)
    return project


def copy_of(project: Project, folder: Path) -> Project:
    """Another project with the same files and data."""
    shutil.copytree(project.folder, folder)
    return replace(project, folder=folder)


def _python(project: Project, *arguments: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project.folder,
        env={**project.environment, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stdout[-1000:]}{done.stderr[-3000:]}")


@contextmanager
def running(project: Project, policy: str | None, *options: str) -> Iterator[Running]:
    """The project under gunicorn behind the proxy with `policy` (the text of the file; None: without) until the end."""
    app, door, admin = free_port(), free_port(), free_port()
    addresses = {"PENSTOCK_ADMIN": f"http://127.0.0.1:{admin}", "PENSTOCK_ADMIN_TOKEN": secrets.token_hex(16)}
    environment = {**project.environment, **addresses}
    if project.name == "wagtail":
        _python(project, "trial_address.py", str(door))
    wsgi = "mysite.wsgi:application"
    gunicorn = [sys.executable, "-m", "gunicorn", wsgi, "--workers", "2", "--bind", f"127.0.0.1:{app}"]
    proxy = [sys.executable, "-c", "from penstock.cli.main import main; main()", "proxy"]
    proxy += ["--origin", f"http://127.0.0.1:{app}", "--listen", f"127.0.0.1:{door}", "--admin", f"127.0.0.1:{admin}"]
    if policy is not None:
        file = project.folder / "cache.toml"
        file.write_text(policy)
        proxy += ["--policy", str(file)]
    with (
        serving(gunicorn, app, READY[project.name], project.folder / "gunicorn.log", environment),
        serving([*proxy, *options], door, READY[project.name], project.folder / "proxy.log", environment) as url,
    ):
        yield Running(project.name, url)


@contextmanager
def running_inside(project: Project, policy: str) -> Iterator[Running]:
    """The project under uvicorn, with the cache inside, as the how-to says it for ASGI."""
    port = free_port()
    files = {"cache.toml": policy, "mysite/asgi.py": file_in_how_to("asgi.py")}
    files["penstock_purge.py"] = file_in_how_to("penstock_purge_inside.py")
    for name, text in files.items():
        (project.folder / name).write_text(text)
    uvicorn = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--port", str(port), "--lifespan", "off"]
    log = project.folder / "uvicorn.log"
    with serving(uvicorn, port, READY[project.name], log, project.environment) as url:
        yield Running(project.name, url)
