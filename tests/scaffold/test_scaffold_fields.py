"""What an index's fields are taken for, by name, type and values; without a server."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.engine.mapping import IndexMapping, read_properties
from ltr.scaffold.fields import Sample, guess, language, sampled
from ltr.scaffold.words import ROLES, STOP_WORDS, telling, words
from ltr.text import ANALYZERS


def mapping(**properties):
    return IndexMapping("shop", ("shop",), read_properties(properties))


def roles(told, rows):
    return {each.name: each.role for each in guess(told, pl.DataFrame(rows))}


# ---- names


NAMES = {
    "title": "title name product_title productName bezeichnung artikelname titre nom_produit nombre titolo naam libelle",
    "brand": "brand brand_name brand.name manufacturer hersteller.name marke marque.nom fabricante produttore merk",
    "category": "category categories category_path warengruppen produktgruppe categorie rayon categoria productgroep genres",
    "description": "description longText bullet_points produktbeschreibung langtext descriptif descripcion_larga omschrijving",
    "price": "price sale_price preis_eur verkaufspreis prix precio prezzo prijs priceCents",
    "list_price": "list_price listPrice msrp old_price streichpreis uvp prix_barre precio_anterior prezzo_listino adviesprijs",
    "rating": "rating avgRating stars bewertung kundenbewertung note_moyenne valoracion valutazione beoordeling",
    "rating_count": "rating_count num_reviews anzahlBewertungen nb_avis numero_resenas numero_recensioni aantal_beoordelingen",
    "popularity": "popularity unitsSold sales_rank beliebtheit verkaufteStueck ventes vendidos vendite verkocht",
    "stock": "stock in_stock inventory lagerbestand lieferbar disponibilite existencias giacenza voorraad",
    "colour": "color colour farbe couleur colore kleur Farben",
    "size": "size sizes groesse Größe taille talla taglia maat",
    "material": "material fabric materiau materiale materiaal",
    "audience": "gender target_group geschlecht sexe genero doelgroep",
    "tags": "tags keywords schlagworte mots_cles etiquetas parole_chiave trefwoorden merkmale.wert",
    "identifier": "sku ean artikelnr herstellernummer reference codigo codice_articolo bestelnummer product_id category.id",
    "link": "url image_url bild_url imageLink",
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, listed in NAMES.items() for name in listed.split()])
def test_a_name_tells_its_role_in_six_languages(role, name):
    assert telling(name)[0].role == role


@pytest.mark.parametrize("name", ["x17", "hersteller.land", "is_active", "_", "字段", "suchtext", "foo.bar"])
def test_other_names_tell_nothing(name):
    assert telling(name) == []


@given(st.text(max_size=20))
def test_any_text_may_be_a_name(name):
    assert all(word == word.casefold() for word in words(name))
    assert {each.role for each in telling(name)} <= ROLES.keys()


def test_languages_are_analyzers():
    assert STOP_WORDS.keys() <= set(ANALYZERS)


# ---- values


def test_a_sample_says_what_is_filled_distinct_and_long():
    told = sampled(pl.Series([["red shoe", "red shoe"], ["a blue hat"], None, None]))
    assert told == Sample(
        filled=2 / 4,
        several=1 / 2,
        distinct=2 / 3,
        recurring=2,
        length=(2 + 2 + 3) / 3,
        example="red shoe",
    )
    numbers = sampled(pl.Series([-1.0, 2.0, None, 2.0]))
    assert (numbers.filled, numbers.low, numbers.high, numbers.whole, numbers.recurring) == (3 / 4, -1, 2, True, 2)
    assert sampled(pl.Series([None, None])) == Sample(0.0)
    assert sampled(pl.Series(["https://a/b.jpg", "/img/2.png", "x"])).addresses == 2 / 3
    assert sampled(pl.Series(["007", "12-3", "x"])).digits == 2 / 3


def test_what_no_name_tells_the_values_do():
    told = mapping(
        f1={"type": "text"},
        f2={"type": "text"},
        f3={"type": "keyword"},
        f4={"type": "keyword"},
        f5={"type": "keyword"},
        f6={"type": "long"},
        f7={"type": "long"},
        f8={"type": "boolean"},
        f9={"type": "keyword"},
    )
    found = roles(
        told,
        {
            "f1": [["a thing with number " + str(at)] for at in range(50)],
            "f2": [["many words in a text that goes on and on and says all of it " + str(at)] for at in range(50)],
            "f3": [["red", "blue"][at % 2 :] for at in range(50)],
            "f4": [[f"K-{at}"] for at in range(50)],
            "f5": [[f"{at % 7}"] for at in range(50)],
            "f6": [float(at % 9) for at in range(50)],
            "f7": [4_000_000.0 + at for at in range(50)],
            "f8": [at % 3 == 0 for at in range(50)],
            "f9": [[f"https://img.shop/{at}"] for at in range(50)],
        },
    )
    assert found == {
        "f1": "title",
        "f2": "description",
        "f3": "facet",
        "f4": "identifier",
        "f5": "code",
        "f6": "number",
        "f7": "code",
        "f8": "flag",
        "f9": "link",
    }


CONTRADICTED = {
    "a rating beyond 100 is a number": ("rating", "float", [1.0, 4_000.0, 7.5], "number"),
    "half a review is no count": ("reviews", "float", [1.5, 2.0, 7.0], "number"),
    "a price that is text is text": ("price", "text", [["on request"], ["9 euros"], ["soon"]], "title"),
    "a title that hardly differs is a facet": ("name", "keyword", [["A"], ["B"]] * 30, "facet"),
    "a category of digits is a code": ("category", "keyword", [["17"], ["18"]] * 30, "code"),
    "a description of one word is text": ("description", "text", [["x"], ["y"]] * 30, "text"),
    "an image that is a text is no address": (
        "image",
        "text",
        [["it shows a man on a horse in the rain before a house " + str(at)] for at in range(9)],
        "title",
    ),
    "a number of its own is a code, which the engine is asked no words of": (
        "artikelnr",
        "long",
        [7.0, 8.0, 9.0],
        "code",
    ),
    "nothing in it": ("title", "text", [None, None], "empty"),
    "always the same": ("brand", "keyword", [["Ace"]] * 9, "constant"),
}


@pytest.mark.parametrize(("name", "kind", "values", "role"), CONTRADICTED.values(), ids=CONTRADICTED.keys())
def test_a_name_is_not_believed_against_its_values(name, kind, values, role):
    column = pl.Series(values, dtype=pl.List(pl.String)) if kind not in ("float", "long") else pl.Series(values)
    found = roles(mapping(**{name: {"type": kind}, "other": {"type": "keyword"}}), {name: column})
    assert found[name] == role


def test_one_field_is_the_title_and_one_the_price():
    rows = {
        "name": [[f"shoe {at}"] for at in range(20)],
        "title": [[f"a red shoe {at}"] if at % 2 else None for at in range(20)],
        "label": [[f"l{at}"] for at in range(20)],
        "price": [float(at) for at in range(20)],
        "preis": [float(at) if at % 2 else None for at in range(20)],
    }
    told = mapping(
        name={"type": "text"},
        title={"type": "text"},
        label={"type": "keyword"},
        price={"type": "float"},
        preis={"type": "float"},
    )
    assert roles(told, rows) == {
        "name": "title",
        "title": "text",
        "label": "facet",
        "price": "price",
        "preis": "number",
    }


def test_of_name_and_value_the_value_is_matched_nested_or_not():
    pair = {"properties": {"key": {"type": "keyword"}, "value": {"type": "text"}, "unit": {"type": "keyword"}}}
    told = mapping(attrs={"type": "nested", **pair}, specs=pair, title={"type": "text"})
    rows = {name: [["x", f"y{at}"] for at in range(9)] for name in told.fields}
    found = roles(told, rows)
    assert (found["attrs.value"], found["attrs.key"]) == ("tags", "attribute name")
    assert (found["specs.value"], found["specs.key"]) == ("tags", "attribute name")


def test_the_analyzer_of_the_mapping_tells_the_language_else_the_words_do():
    rows = pl.DataFrame(
        {"title": [["Lampe 1"], ["Lampe 2"]], "text": [["aus dem Haus und für den"], ["Garten mit der Tür"]]}
    )
    plain = mapping(title={"type": "text"}, text={"type": "text"})
    assert language(guess(plain, rows), rows) == "german"
    named = mapping(
        title={"type": "text", "fields": {"fr": {"type": "text", "analyzer": "french"}}}, text={"type": "text"}
    )
    assert language(guess(named, rows), rows) == "french"
    none = pl.DataFrame({"title": [["Zxy 300"], ["Zxy 400"]], "text": [["Qwt 17"], ["Qwt 18"]]})
    assert language(guess(plain, none), none) == "standard"
