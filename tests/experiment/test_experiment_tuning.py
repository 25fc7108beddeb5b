"""Which queries an encoder is tuned on: never one that is measured on, in any split of the experiment."""

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.cli import run
from ltr.config import parse
from ltr.datasets import Dataset
from ltr.encoders.tuning import query_hash
from ltr.errors import ConfigError, EncoderError, JudgmentError
from ltr.experiment.preflight import groups_of, parts_of, tuned_on
from ltr.experiment.tuning import examples, tune_for, tuning_queries
from ltr.frames import check

NUMBER = 120


def dataset(queries, judgments):
    graded = pl.DataFrame(judgments, schema=["query_id", "product_id", "grade"], orient="row")
    titles = {"a": "red shoe", "b": "blue shoe", "c": "hat", "d": "mug", "same": "red shoe", "blank": " "}
    return Dataset(
        name="own",
        products=pl.DataFrame({"product_id": list(titles), "title": list(titles.values()), "tags": [["x", "y"]] * 6}),
        queries=queries,
        judgments=check(graded.with_columns(pl.lit(1.0).alias("weight")), "judgments"),
        fields={"title": "text", "tags": "keyword"},
        title="title",
        text_fields={"title": 1.0},
        scale="graded",
        gains="linear",
    )


@pytest.fixture(scope="module")
def many():
    """Queries in groups of three by need and of two by day; every tenth has the words of the one before it."""
    names = [f"q{i}" for i in range(NUMBER)]
    queries = pl.DataFrame(
        {
            "query_id": names,
            "query": [f"Query {i - (i % 10 == 9)}" for i in range(NUMBER)],
            "need": [f"n{i // 3}" for i in range(NUMBER)],
            "day": [f"d{i // 2}" for i in range(NUMBER)],
        }
    )
    return dataset(
        queries, [(name, product, float(grade)) for name in names for product, grade in (("a", 1), ("c", 0))]
    )


def experiment(**split):
    return parse({"name": "own", "data": {"source": "files"}, "split": split})


SPLITS = {
    "by query": {},
    "a group": {"group": "need"},
    "a further table": {"also": ["need"]},
    "two groups": {"group": "need", "also": ["day"]},
}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@settings(max_examples=8)
@given(seed=st.integers(0, 50), share=st.sampled_from([0.2, 0.5, 0.9]))
def test_no_query_to_tune_on_is_measured_on_nor_has_the_words_of_one_that_is(many, split, seed, share):
    config = experiment(**split, seed=seed)
    taken = set(tuning_queries(config, many, share=share))
    texts = dict(many.queries.select("query_id", "query").rows())
    columns = (config.split.group, *config.split.also)
    splits = [parts_of(config, many, group=column)[0] for column in columns]
    measured = {texts[each] for parts in splits for each in (*parts.dev, *parts.test)}
    assert all(taken < set(parts.fit) for parts in splits)
    assert not {texts[each] for each in taken} & measured
    # What stays together in a split is here taken whole, or left whole, but for what is measured on.
    left = {query_id for query_id, text in texts.items() if text not in measured} - taken
    for column in columns:
        groups = groups_of(many, column)
        assert not {groups[each] for each in taken} & {groups[each] for each in left}


def test_the_share_is_of_the_queries_that_may_be_taken(many):
    config = experiment()
    (parts,) = parts_of(config, many, group=None)
    half, most = (len(tuning_queries(config, many, share=share)) for share in (0.5, 0.99))
    assert half / most == pytest.approx(0.5, abs=0.03)
    assert most <= len(parts.fit)


def test_a_share_of_less_than_one_query_is_refused(many):
    with pytest.raises(JudgmentError, match=r"0.001 of .* is less than one that can be taken; give a greater share"):
        tuning_queries(experiment(), many, share=0.001)


JUDGED = [
    *(("q", "a", 4.0), ("q", "b", 2.0), ("q", "c", 1.0), ("q", "d", 0.0), ("q", "gone", 4.0), ("q", "blank", 4.0)),
    *(("weak", "c", 1.0), ("weak", "same", 0.0), ("weak", "d", 0.0), ("weak", "a", 0.0)),
    *(("none", "a", 0.0), ("none", "b", 0.0)),
    *(("both", "a", 3.0), ("both", "same", 0.0), ("both", "d", 0.0)),
]


def pairs(*query_ids, fields=("title",), negatives=1):
    names = ["q", "weak", "none", "both"]
    shop = dataset(pl.DataFrame({"query_id": names, "query": [f"the {name}" for name in names]}), JUDGED)
    return examples(shop, query_ids, fields=fields, gains=[0, 1, 2, 3, 4], negatives=negatives)


def test_answers_have_at_least_half_the_best_gain_of_their_query_and_a_text():
    assert pairs("q", negatives=0) == [("the q", "red shoe"), ("the q", "blue shoe")]
    assert pairs("weak", negatives=0) == [("the weak", "hat")]
    assert pairs("none") == []


def test_products_judged_irrelevant_go_with_an_answer_unless_their_text_is_an_answer():
    assert pairs("q") == [("the q", "red shoe", "mug"), ("the q", "blue shoe", "mug")]
    assert pairs("both", negatives=5) == [("the both", "red shoe", "mug")]
    assert [(query, product, *sorted(others)) for query, product, *others in pairs("weak", negatives=9)] == [
        ("the weak", "hat", "mug", "red shoe")
    ]


def test_a_product_reads_as_the_cosine_reads_it():
    assert pairs("q", fields=("title", "tags"), negatives=0)[0] == ("the q", "red shoe. x. y")


def test_queries_that_a_tuned_encoder_has_seen_are_known_by_their_words(tmp_path):
    queries = pl.DataFrame({"query_id": ["1", "2", "3"], "query": ["Red  SHOE", "red shoes", "red shoe"]})
    assert tuned_on(tmp_path, queries) == set()
    (tmp_path / "tuned.json").write_text(json.dumps({"format": 1, "queries": [query_hash("red shoe")]}))
    assert tuned_on(tmp_path, queries) == {"1", "3"}
    (tmp_path / "tuned.json").write_text("cut o")
    with pytest.raises(EncoderError, match="does not say which queries"):
        tuned_on(tmp_path, queries)


REFUSED = {
    "folds": ({"split": {"folds": 5}}, {}, r"split.folds = 5 tests every query.*use a holdout"),
    "no share": ({}, {"share": 0.0}, "share = 0 must be above 0 and below 1"),
    "all of it": ({}, {"share": 1.0}, "share = 1 must be above 0 and below 1"),
    "made features": ({"data": {"source": "svmlight"}}, {}, "have no text to tune"),
    "no cosine": ({"features": {"set": "features/lexical.toml"}}, {}, "has no feature of kind cosine.*add one"),
}


@pytest.mark.parametrize(("table", "named", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_tuned_on_is_refused_before_the_data_are_read(tmp_path, table, named, message):
    config = parse({"name": "own", "data": {"source": "files", "products": "absent.csv"}, **table})
    with pytest.raises(ConfigError, match=message):
        tune_for(config, base=tmp_path, output=tmp_path / "tuned", **named)


SHOP = """
name = "own"
[data]
source = "files"
products = "products.csv"
judgments = "judgments.csv"
[features]
set = "own.toml"
[encoder]
model = "MODEL"
[tracking]
uri = ""
"""
SET = """
name = "own"
[[feature]]
name = "title_bm25"
kind = "bm25"
field = "title"
[[feature]]
name = "title_cosine"
kind = "cosine"
field = "title"
"""


@pytest.fixture
def own(tmp_path, monkeypatch, tiny):
    """A catalogue of one's own, forty queries, and a tiny encoder beside experiment.toml."""
    kinds = ["shoe", "shirt", "hat", "mug"]
    products = [(f"{kind}{i}", f"{kind} number {i}") for kind in kinds for i in range(5)]
    lines = [f"{product_id},{title}" for product_id, title in products]
    judged = [
        f"{word} {kind},{product_id},{int(product_id.startswith(kind))}"
        for word in ("red", "new", "old", "big", "my", "a", "the", "no", "one", "soft")
        for kind in kinds
        for product_id, _ in products
    ]
    (tmp_path / "products.csv").write_text("\n".join(["product_id,title", *lines]), encoding="utf-8")
    (tmp_path / "judgments.csv").write_text("\n".join(["query,product_id,grade", *judged]), encoding="utf-8")
    (tmp_path / "own.toml").write_text(SET, encoding="utf-8")
    (tmp_path / "experiment.toml").write_text(SHOP.replace("MODEL", "tiny"), encoding="utf-8")
    (tmp_path / "tiny").symlink_to(tiny)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A sentence-transformers model with random weights."""
    pytest.importorskip("sentence_transformers", reason="needs sentence-transformers: pip install 'ltr[encoders]'")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    body = tmp_path_factory.mktemp("body")
    words = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"), *"0123456789"]  # fmt: skip
    (body / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    BertTokenizerFast(str(body / "vocab.txt")).save_pretrained(body)
    torch.manual_seed(7)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words) + 5, max_position_embeddings=64, **size)).save_pretrained(body)
    model = SentenceTransformer(modules=[Transformer(str(body), max_seq_length=48), Pooling(16, "mean")], device="cpu")
    model.save(str(body.parent / "tiny"), create_model_card=False)
    return body.parent / "tiny"


def test_the_command_tunes_says_what_it_did_and_how_to_use_it(own, capsys):
    assert run(["tune-encoder", ".", "-o", "tuned", "--batch", "16", "--learning-rate", "1e-3"]) == 0
    told = capsys.readouterr().out
    for words in (
        "70 pairs of 14 queries",
        "5 in ",
        "loss",
        "→",
        'under [encoder] in experiment.toml: model = "tuned"',
    ):
        assert words in told
    note = json.loads((own / "tuned" / "tuned.json").read_text())
    assert (note["experiment"], note["share"], note["fields"], note["base"]) == ("own", 0.5, ["title"], "tiny")
    judged = pl.read_csv(own / "judgments.csv").select(query_id=pl.col("query"), query="query").unique()
    assert len(tuned_on(own / "tuned", judged)) == 14
    # A second run finds the directory taken, and leaves it.
    assert run(["tune-encoder", ".", "-o", "tuned"]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    # What it has printed is all that training needs.
    train = ["train", ".", "--set", "ranker.rounds=3", "--json"]
    capsys.readouterr()
    assert run(train) == 0
    plain = json.loads(capsys.readouterr().out)["queries"]
    assert run([*train, "--set", "encoder.model=tuned"]) == 0
    # The queries that the encoder has seen are not fitted on, and a split that would measure on them is refused.
    assert json.loads(capsys.readouterr().out)["queries"] == plain | {"fit": plain["fit"] - 14}
    assert run([*train, "--set", "encoder.model=tuned", "--set", "split.seed=1"]) == 2
    assert "was tuned on" in capsys.readouterr().err


def test_the_command_prints_one_json_object(own, capsys):
    assert run(["tune-encoder", ".", "-o", "out/tuned", "--share", "0.3", "--epochs", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["experiment"] == "own"
    assert told["model"] == "out/tuned"
    assert (told["queries"], told["pairs"]) == (8, 40)
    assert len(told["loss"]["curve"]) == told["steps"] == 2


def test_judgments_without_an_answer_are_refused(own):
    text = (own / "judgments.csv").read_text().replace(",1\n", ",0\n")
    (own / "judgments.csv").write_text(text.removesuffix("1") + "0")
    config = parse({**_table(), "judgments": {"scale": "binary"}})
    with pytest.raises(JudgmentError, match=r"none of the 14 queries to tune on has a relevant product"):
        tune_for(config, base=own, output=own / "tuned")
    assert not (own / "tuned").exists()


def _table():
    data = {"source": "files", "products": "products.csv", "judgments": "judgments.csv"}
    return {"name": "own", "data": data, "features": {"set": "own.toml"}, "encoder": {"model": "tiny"}}
