import io
import subprocess
import sys

import pytest

from ltr.progress import bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_nothing_is_written(capsys):
    with bar("encoding", total=3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_the_bar_goes_to_standard_error(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with bar("encoding", total=3) as advance:
            advance(2)
    assert "encoding" in terminal.getvalue()
    assert "2/3" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_an_unknown_total_is_allowed(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with bar("reading") as advance:
            advance(1)
    assert "reading" in terminal.getvalue()


def test_an_error_inside_comes_out():
    with pytest.raises(KeyError), bar("encoding"):
        raise KeyError


def test_a_batch_job_does_not_import_rich():
    script = "import sys; from ltr.progress import bar\nwith bar('x', total=1) as go: go(1)\nassert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, stderr=subprocess.PIPE)
