"""What an index's fields are taken for, and the files that follow from it; without a server."""

import json
import tomllib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr import scaffold
from ltr.config import parse as parse_experiment
from ltr.config import read_experiment
from ltr.engine.mapping import EngineField, IndexMapping, Subfield, read_properties
from ltr.errors import ConfigError
from ltr.features.clauses import unsupported
from ltr.features.definition import parse
from ltr.scaffold import query as scaffold_query
from ltr.scaffold.experiment_file import Facts, experiment_toml
from ltr.scaffold.feature_file import chosen, features_toml, slugs
from ltr.scaffold.fields import Guess, Sample, guess, language, sampled
from ltr.scaffold.words import ROLES, STOP_WORDS, telling, words
from ltr.text import ANALYZERS

FACTS = Facts(
    "shop", "http://localhost:9200", False, "shop", 9, None, "judgments.csv", 60, "0-3", None, "english", True
)  # fmt: skip


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


# ---- features.toml


def made(role, field, **sample):
    return Guess(field, role, "because", Sample(**{"filled": 1.0, "recurring": 9, **sample}))


TITLE = made("title", EngineField("name", "text"))
RICH = [
    made(
        "title",
        EngineField("name", "text", {"raw": Subfield("keyword", None, "lower"), "pairs": Subfield("text", "p")}),
    ),
    made("brand", EngineField("brand.name", "keyword", {"text": Subfield("text")})),
    made("tags", EngineField("attrs.value", "text", nested="attrs")),
    made("identifier", EngineField("ean", "keyword")),
    made("description", EngineField("about", "text", positions=False)),
    made("text", EngineField("everything", "text", fed=True), filled=0.0),
    made("price", EngineField("price", "float", doc_values=True), low=-1.0, high=99.0),
    made("number", EngineField("year", "integer", doc_values=True), low=1990.0, high=2024.0, whole=True),
    made("stock", EngineField("available", "boolean", doc_values=True)),
    made("date", EngineField("at", "date", doc_values=True)),
    made("link", EngineField("image", "keyword", indexed=False)),
]


def feature_set(guesses, **options):
    text = features_toml(guesses, **{"name": "shop", "language": "english", **options})
    return parse(tomllib.loads(text), where="features.toml"), text


def test_the_first_part_is_what_an_engine_can_work_out_all_of_it():
    found, text = feature_set(RICH)
    engine, _, ours = text.partition("# ---- Worked out by ltr")
    expressible = set(found.names) - unsupported(found, booleans=["available"]).keys()
    assert {line.split('"')[1] for line in engine.splitlines() if line.startswith("name = ")} - {"shop"} == expressible
    assert not any(f'name = "{name}"\n' in ours for name in expressible)
    for feature in found.features:
        if feature.name in expressible:
            assert feature.missing == 0.0
        if feature.kind == "number" and feature.name in expressible - {"available"}:
            assert feature.params.at_least == 0.0
    (priced,) = (line for line in engine.splitlines() if line.startswith("# price: "))
    assert "below 0 counts as missing" in priced
    assert engine.count("below 0") == 1, "year has nothing below"


def test_what_is_asked_of_the_engine_is_what_the_mapping_allows():
    found, _ = feature_set(RICH)
    asked = {name: params.model_dump(exclude_defaults=True) for name, params in found.match.items()}
    assert asked["name_raw_is"] == {"field": "name", "query": "term", "subfield": "raw", "constant": True}
    assert asked["name_pairs_match"] == {"field": "name", "subfield": "pairs"}
    assert asked["brand_name_text_match"] == {"field": "brand.name", "subfield": "text"}
    assert asked["ean_is"] == {"field": "ean", "query": "term", "constant": True}
    assert "about_phrase_match" not in asked  # without positions
    assert "brand_name_match" not in asked  # a keyword is matched as a whole
    assert asked["all_match"]["fields"] == ("name", "everything", "about")  # in one document, not in nested ones
    assert "everything_match" in asked


def test_what_no_document_has_is_left_to_the_engine():
    found, _ = feature_set(RICH)
    read = {
        name
        for feature in found.features
        if feature.kind != "match"
        for each in feature.sources
        for name in each.fields
    }
    assert "everything" not in read
    assert {"image", "at"} & read == set()


def test_meaning_is_for_english_and_else_a_comment():
    found, _ = feature_set(RICH)
    assert {"name_cosine", "about_cosine"} <= set(found.names)
    german, text = feature_set(RICH, language="german")
    assert "name_cosine" not in german.names
    assert german.analyzer == "german"
    block = [line[2:] for line in text.splitlines() if line.startswith("# ") and "multilingual" not in line]
    start = block.index("[[feature]]")
    taken = tomllib.loads("\n".join(block[start : block.index("---- Fields without a feature")]))
    assert [each["kind"] for each in taken["feature"]] == ["cosine", "cosine"]


def test_fields_without_a_feature_are_named_with_the_reason():
    _, text = feature_set(RICH)
    assert "# image: link; because" in text
    assert "# at: date; because" in text


def test_of_many_fields_the_fullest_few_get_features():
    many = [made("facet", EngineField(f"f{at}", "keyword"), filled=at / 50) for at in range(50)]
    assert [each.name for each in chosen([TITLE, *many])] == ["name", "f49", "f48", "f47", "f46", "f45", "f44"]


ODD = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["all", "query", "Größe", "a.b", "a_b", "a-b", 'q"uote', "new\nline", "0", ":", "a", "a_match", "a_relative", "a_0"]
)


@settings(max_examples=60)
@given(
    st.lists(ODD, min_size=1, max_size=6, unique=True),
    st.lists(st.sampled_from(["title", "brand", "facet", "text", "price", "tags"]), min_size=6, max_size=6),
    ODD,
)
def test_whatever_fields_are_called_the_files_are_read_back(names, given_roles, subfield):
    fields = [
        made(role, EngineField(name, "float", doc_values=True))
        if role == "price"
        else made(role, EngineField(name, "text", {subfield: Subfield("text"), subfield + "_": Subfield("text")}))
        for name, role in zip(names, given_roles, strict=False)
    ]
    found, _ = feature_set(fields)
    assert {name for each in found.match.values() for name in (each.fields or (each.field,))} <= set(names)
    assert len(set(slugs(fields).values())) == len(names)
    text = experiment_toml(FACTS, chosen(fields), scaffold_query.weights(fields))
    parse_experiment(tomllib.loads(text))


# ---- experiment.toml


def commented(text):
    """[key = value] as overrides, for each setting that stands in a comment."""
    section = ""
    for line in text.splitlines():
        plain = line.removeprefix("# ")
        if plain.startswith("["):
            section = plain[1 : plain.index("]")]
        elif line.startswith("# ") and " = " in plain and not plain.split(" = ")[0].count(" "):
            key, _, value = plain.split("    #")[0].partition(" = ")
            yield f"{section}.{key}={value}"


EXPERIMENTS = {
    "judged": FACTS,
    "nobody has judged yet": Facts(**{**FACTS.__dict__, "judgments": None, "queries": None}),
    "from clicks": Facts(**{**FACTS.__dict__, "judgments": None, "queries": None, "log": "ubi.ndjson", "made": False}),
    "with a password": Facts(**{**FACTS.__dict__, "secret": True, "id_field": "sku"}),
}


@pytest.mark.parametrize("facts", EXPERIMENTS.values(), ids=EXPERIMENTS.keys())
def test_the_experiment_is_read_and_so_is_each_setting_in_a_comment(facts, tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text(experiment_toml(facts, RICH, scaffold_query.weights(RICH)), encoding="utf-8")
    experiment = read_experiment(path)
    assert (experiment.data.source, experiment.index, experiment.retrieval.body) == (
        "elasticsearch",
        "shop",
        "query.json",
    )
    assert experiment.retrieval.nested == {"attrs.value": "attrs"}
    assert experiment.data.columns == {"product_id": facts.id_field or "_id"}
    assert experiment.retrieval.id_field == facts.id_field
    assert experiment.data.url == (None if facts.secret else facts.url)
    settings = list(commented(path.read_text(encoding="utf-8")))
    assert settings
    for override in settings:
        text = path.read_text(encoding="utf-8")
        if override.startswith("retrieval.fields"):  # instead of the body
            text = text.replace('body = "query.json"', "#")
        (tmp_path / "other.toml").write_text(text, encoding="utf-8")
        folded = ["split.folds=5"] if "repeats" in override else []
        read_experiment(tmp_path / "other.toml", overrides=[*folded, override])


def test_few_judged_queries_are_folded_and_many_are_split():
    few = parse_experiment(tomllib.loads(experiment_toml(FACTS, RICH, {})))
    assert (few.split.folds, few.split.dev) == (5, 0.2)
    many = Facts(**{**FACTS.__dict__, "queries": 301})
    assert parse_experiment(tomllib.loads(experiment_toml(many, RICH, {}))).split.folds is None


def test_a_title_that_is_a_keyword_is_declared_as_text():
    title = made("title", EngineField("name", "keyword"))
    experiment = parse_experiment(tomllib.loads(experiment_toml(FACTS, [title], {})))
    assert experiment.data.fields == {"name": "text"}


# ---- query.json


BODIES = {
    "a string that is the text": ('{"a": "red shoes", "b": 1}', '{"a": "{{query}}", "b": 1}'),
    "every string that is it": ('{"a":["red shoes",{"q":"red shoes"}]}', '{"a":["{{query}}",{"q":"{{query}}"}]}'),
    "not a string that only holds it, where one is it": (
        '{"a": "red shoes", "t": "title: red shoes"}',
        '{"a": "{{query}}", "t": "title: red shoes"}',
    ),
    "else within a string": ('{"q": "title:(red shoes) AND x"}', '{"q": "title:({{query}}) AND x"}'),
    "never a key": ('{"red shoes": "red shoes"}', '{"red shoes": "{{query}}"}'),
    "blanks stay": ('{\n\t"q" :  "red shoes"\n}\n', '{\n\t"q" :  "{{query}}"\n}\n'),
    "escapes are read": ('{"q": "red\\u0020shoes", "x": "\\"é\\""}', '{"q": "{{query}}", "x": "\\"é\\""}'),
}


@pytest.mark.parametrize(("given_body", "expected"), BODIES.values(), ids=BODIES.keys())
def test_the_shoppers_words_become_the_placeholder_and_nothing_else_moves(given_body, expected):
    assert scaffold_query.marked(given_body, "red shoes", where="body.json") == expected


def test_a_body_with_the_placeholder_is_kept_to_the_letter(tmp_path):
    path = tmp_path / "body.json"
    text = '{ "query": {"match": {"title":"{{query}}"}} ,\n "size":24}\n\n'
    path.write_bytes(text.encode())
    assert scaffold_query.read(path, None) == text


REFUSED = {
    "no placeholder": ('{"query": {}}', None, r"has no {{query}}; write {{query}} where"),
    "another text": ('{"query": "hat"}', "red shoes", "has no string with 'red shoes'"),
    "an empty text": ('{"query": "hat"}', " ", "--query-text is empty"),
    "no JSON": (
        '{"query": {{#toJson}}q{{/toJson}} }',
        None,
        "is not JSON: .*; give the body that your application sends",
    ),
    "no object": ('["{{query}}"]', None, "is no search body"),
}


@pytest.mark.parametrize(("given_body", "text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_body_is_refused(given_body, text, message, tmp_path):
    path = tmp_path / "body.json"
    path.write_text(given_body)
    with pytest.raises(ConfigError, match=message):
        scaffold_query.read(path, text)


def test_a_body_to_start_from_searches_all_texts_nested_ones_beside_them():
    body = scaffold_query.body_of(RICH)
    (must,) = body["query"]["bool"]["must"]
    flat, nested = must["bool"]["should"]
    assert flat["multi_match"]["fields"] == [
        "name^3",
        "brand.name.text^2",
        "ean^2",
        "about^0.5",
        "everything",
    ]
    assert nested["nested"]["path"] == "attrs"
    assert nested["nested"]["query"]["multi_match"]["fields"] == ["attrs.value"]
    alone = scaffold_query.body_of([TITLE])["query"]["bool"]
    assert alone == {"must": [{"multi_match": {**flat["multi_match"], "fields": ["name^3"]}}], "filter": []}
    assert json.dumps(scaffold_query.body_of(RICH[2:3])).count("multi_match") == 1  # nothing outside the nested object


# ---- writing


def planned(text="x"):
    return scaffold.Plan(dict.fromkeys(scaffold.FILES, text), FACTS, RICH, ())


def test_files_that_are_there_are_left_alone(tmp_path):
    (tmp_path / "query.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"has query.json already; name another directory with -o, or .* --force"):
        scaffold.write(planned(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["query.json"]
    scaffold.write(planned("new"), tmp_path, force=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(scaffold.FILES, "new")


@pytest.mark.parametrize("method", ["mkdir", "write_bytes"])
def test_a_directory_that_cannot_be_written_is_refused(tmp_path, monkeypatch, method):
    def denied(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, method, denied)
    with pytest.raises(ConfigError, match=r"new cannot be written: Permission denied; name another with -o"):
        scaffold.write(planned(), tmp_path / "new")


def test_a_file_in_the_directorys_place_is_refused(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(ConfigError, match="is no directory"):
        scaffold.write(planned(), tmp_path / "taken")


@given(st.text(max_size=90))
def test_any_index_gives_a_name_that_an_experiment_may_have(index):
    assert parse_experiment({"name": scaffold.name_of(index), "data": {"source": "shop"}}).name
