import subprocess
import sys

import pytest

from edgecore import __version__
from edgecore.base import errors
from edgecore.cli import exit_codes
from edgecore.cli.app import VERBS, exit_code_for, load_verb
from edgecore.daemon import exit_codes as daemon_codes

HERE = [name for name in VERBS if name != "demo"]  # demo has tests of its own


def test_help_shows_every_verb_and_the_exit_codes(edgecore):
    done = edgecore("--help")
    assert done.code == 0
    assert all(f" {verb} " in done.out for verb in VERBS)
    assert "69 no core runs there" in done.out


def test_no_verb_shows_the_help(edgecore):
    assert "Usage: edgecore" in edgecore().out


def test_version(edgecore):
    done = edgecore("--version")
    assert (done.code, done.out) == (0, f"edgecore {__version__}\n")


def test_a_misspelt_verb_is_guessed(edgecore):
    done = edgecore("statsu")
    assert done.code == exit_codes.USAGE
    assert "Did you mean 'status'?" in done.err


def test_a_verb_far_from_all_is_not_guessed(edgecore):
    done = edgecore("xyzzy")
    assert done.code == exit_codes.USAGE
    assert "No such command 'xyzzy'" in done.err


@pytest.mark.parametrize("verb", HERE)
def test_every_verb_has_help(edgecore, verb):
    done = edgecore(verb, "--help")
    assert done.code == 0
    assert f"Usage: edgecore {verb}" in done.out


@pytest.mark.parametrize(
    "verb", [(), *((verb,) for verb in VERBS), ("sim", "cloud"), ("sim", "cloud", "job")], ids=" ".join
)
def test_completion_is_installed_by_edgecore_itself_and_by_no_verb(edgecore, verb):
    """Of a verb it would be completion for a program `edgecore VERB`, which there is not."""
    out = edgecore(*verb, "--help").out
    assert ("--install-completion" in out, "--show-completion" in out) == (not verb, not verb)


@pytest.mark.parametrize(
    "verb",
    [("run",), ("init",), ("status",), ("pub",), ("sub",), ("sim", "cloud")]
    + [("device", each) for each in ("add", "list", "revoke")]
    + [("outbox", each) for each in ("list", "show", "retry", "drop")],
    ids=" ".join,
)
def test_every_help_has_an_example(edgecore, verb):
    assert f"Example: edgecore {' '.join(verb)}" in edgecore(*verb, "--help").out


def test_a_verb_is_loaded_only_when_it_is_used():
    code = "import sys; from edgecore.cli import app; print([n for n in sys.modules if n.startswith('edgecore.cli')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "edgecore.cli.run" not in done.stdout


@pytest.mark.parametrize("verb", HERE)
def test_the_table_names_what_exists(verb):
    assert load_verb(verb).name == verb


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("edgecore st", ["status"]), ("edgecore shadow g", ["get"]), ("edgecore outbox r", ["retry"])],
)
def test_completion_offers_the_verbs(typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "edgecore"],
        env={"_EDGECORE_COMPLETE": "complete_bash", **words},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == offered


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("f", "k", "a", "b"), exit_codes.CONFIG),
        (errors.NotAuthorizedError("no"), exit_codes.NOT_PERMITTED),
        (errors.UnavailableError("no"), exit_codes.UNAVAILABLE),
        (errors.StoreError("no"), exit_codes.FAILED),
    ],
)
def test_the_kind_of_error_decides_the_exit_code(error, code):
    assert exit_code_for(error) == code


def test_an_error_is_told_in_words(edgecore, tmp_path):
    done = edgecore("status", "--dir", tmp_path)
    assert done.code == exit_codes.UNAVAILABLE
    first, second = done.err.splitlines()
    assert first.startswith("edgecore: no core runs here: nobody answers on ")
    assert second.startswith("start it with `edgecore run --dir ")
    assert done.out == ""


def test_every_exit_code_of_the_daemon_has_its_words():
    codes = [value for name, value in vars(daemon_codes).items() if name.isupper()]
    assert set(codes) <= set(exit_codes.MEANINGS)


def test_python_m_edgecore_is_edgecore():
    done = subprocess.run(
        [sys.executable, "-m", "edgecore", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"edgecore {__version__}\n"
