"""A catalogue of one's own and its ratings, as files."""

import pytest

CATALOGUE = """sku,name,about,brand,price,launched,in_stock
007,Red running shoe,Light and quick on any road,Acme,59.90,2026-01-31,true
8,Blue sandal,For warm days at the sea,Acme,,2025-07-01,false
9,Green rain hat,Keeps the head dry in a storm,Zeta,19,2024-11-05,true
10,Wool hat,Warm and soft for long winters,Zeta,25,2024-12-05,true
"""
RATINGS = "query,docid,rating\nRed  Shoe,007,4\nred shoe,8,1\nhat,9,3\n"


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "catalogue.csv").write_text(CATALOGUE)
    (tmp_path / "ratings.csv").write_text(RATINGS)
    return tmp_path
