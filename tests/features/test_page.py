from pathlib import Path

import pytest

from ltr.features import catalogue_page
from ltr.features.kinds import KINDS

README = Path(__file__).parents[2] / "features" / "README.md"


def test_the_page_of_kinds_is_up_to_date():
    assert README.read_text(encoding="utf-8") == catalogue_page(), "run: python -m ltr.features.page"


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_its_function_and_says_its_formula(name):
    kind = KINDS[name]
    assert kind.compute.__name__ == name
    first, formula = (kind.compute.__doc__ or "").split("\n\n")[:2]
    assert first.rstrip().endswith(".")
    assert "=" in formula or name == "similarity"
    assert all(info.description for info in kind.params.model_fields.values())
