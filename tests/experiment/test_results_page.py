"""The results pages say what expected.toml and measured.json say."""

from pathlib import Path

from ltr.experiment import page

ROOT = Path(__file__).parents[2]


def test_the_pages_are_up_to_date():
    assert (ROOT / "experiments" / "README.md").read_text(encoding="utf-8") == page.page(ROOT)
    assert page.tables(ROOT, bounded=True) in (ROOT / "README.md").read_text(encoding="utf-8")


def made(tmp_path):
    (tmp_path / "experiments" / "demo").mkdir(parents=True)
    (tmp_path / "experiments" / "bench").mkdir()
    (tmp_path / "experiments" / "demo" / "experiment.toml").write_text(
        'name = "demo"\nquestion = "Why?"\n[data]\nsource = "shop"\n'
    )
    (tmp_path / "experiments" / "demo" / "expected.toml").write_text(
        '[test.lightgbm."nDCG@10"]\nvalue = 0.91\nminimum = 0.92\n[also.genre.lightgbm."nDCG@10"]\nvalue = 0.93\nminimum = 0.92\n'
    )
    (tmp_path / "experiments" / "bench" / "measured.json").write_text(
        '{"speed": {"machine": "M", "date": "2026-01-01", "figures": [{"what": "W", "value": 2, "unit": "s", "bound": 1}, '
        '{"what": "R", "value": 312000.0, "unit": "pairs/s", "bound": 250000, "better": "higher"}, '
        '{"what": "L", "value": 2, "unit": "pairs/s", "bound": 3, "better": "higher"}, '
        '{"what": "N", "value": 0.0, "unit": "", "bound": 1e-9}, {"what": "F", "value": 2, "unit": "s", "bound": null}]}}'
    )
    return tmp_path


def test_a_figure_that_was_not_reached_is_said_so(tmp_path):
    text = page.page(made(tmp_path))
    assert "- `demo`: Why?" in text
    assert "| demo | lightgbm | 0.9100 |  |  |  | nDCG@10 ≥ 0.92: not met | `ltr reproduce demo` |" in text
    assert "| demo, genre kept together | lightgbm | 0.9300 |  |  |  | nDCG@10 ≥ 0.92: met |" in text
    assert "| W | 2 s | ≤ 1 s: not met | M, 2026-01-01 | `make bench BENCH=speed` |" in text


def test_a_bound_is_the_most_or_where_more_is_better_the_least(tmp_path):
    text = page.page(made(tmp_path))
    assert "| R | 312,000 pairs/s | ≥ 250,000 pairs/s: met |" in text
    assert "| L | 2 pairs/s | ≥ 3 pairs/s: not met |" in text
    assert "| N | 0 | ≤ 1e-09: met |" in text
    assert "| F | 2 s |  | M, 2026-01-01 |" in text


def test_writing_replaces_what_stands_between_the_markers_alone(tmp_path):
    root = made(tmp_path)
    (root / "README.md").write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write(root)
    text = (root / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert page.tables(root, bounded=True) in text
    assert "| W | 2 s | ≤ 1 s: not met |" in text
    assert "| F | 2 s |" not in text
    page.write(root)
    assert (root / "README.md").read_text() == text
