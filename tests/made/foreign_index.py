"""An index as somebody else's script made it: German names, nested attributes, keyword arrays, gaps, prices below zero.

``documents`` and ``judgments`` are made from a seed; ``create`` puts the documents into an engine, which is the only write.
A grade follows from the text (the kind of thing, its colour or material, its make) and a little from sales, so that there is
something to learn beyond the engine's score.
"""

from __future__ import annotations

import json
import random
import uuid
from contextlib import contextmanager

MAPPINGS = {
    "_meta": {"script": "import_artikel.pl"},
    "properties": {
        "artikelnr": {"type": "keyword"},
        "bezeichnung": {
            "type": "text",
            "analyzer": "deutsch",
            "copy_to": "suchtext",
            "fields": {
                "keyword": {"type": "keyword", "ignore_above": 256},
                "wortpaare": {"type": "text", "analyzer": "wortpaare"},
            },
        },
        "langtext": {"type": "text", "analyzer": "deutsch"},
        "hersteller": {
            "properties": {
                "name": {"type": "text", "copy_to": "suchtext", "fields": {"raw": {"type": "keyword"}}},
                "land": {"type": "keyword"},
            }
        },
        "warengruppen": {"type": "keyword"},
        "merkmale": {
            "type": "nested",
            "properties": {
                "name": {"type": "keyword"},
                "wert": {"type": "text", "fields": {"keyword": {"type": "keyword"}}},
            },
        },
        "farbe": {"type": "keyword"},
        "groessen": {"type": "keyword"},
        "preis_eur": {"type": "float"},
        "preis": {"type": "alias", "path": "preis_eur"},
        "bewertung": {"type": "half_float"},
        "anzahlBewertungen": {"type": "integer"},
        "verkaufteStueck": {"type": "long"},
        "lagerbestand": {"type": "integer"},
        "lieferbar": {"type": "boolean"},
        "eingestellt_am": {"type": "date", "format": "dd.MM.yyyy||epoch_millis"},
        "bild_url": {"type": "keyword", "index": False, "doc_values": False},
        "bild_vektor": {"type": "dense_vector", "dims": 4, "similarity": "cosine"},
        "suchtext": {"type": "text", "analyzer": "deutsch"},
        "lager_ort": {"type": "geo_point"},
        "erp": {"type": "object", "enabled": False},
    },
}

SETTINGS = {
    "number_of_shards": 2,
    "number_of_replicas": 0,
    "analysis": {
        "analyzer": {
            "deutsch": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]},
            "wortpaare": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", "paare"]},
        },
        "filter": {"paare": {"type": "shingle", "max_shingle_size": 2, "output_unigrams": False}},
    },
}

# kind of thing -> its group, what else it is called, its middle price
THINGS = {
    "Akkubohrschrauber": ("Werkzeug", "Bohrmaschine", 120),
    "Stichsäge": ("Werkzeug", "Säge", 90),
    "Gartenschlauch": ("Garten", "Schlauch", 30),
    "Regenjacke": ("Bekleidung", "Jacke", 80),
    "Wanderschuh": ("Schuhe", "Schuhe", 110),
    "Gummistiefel": ("Schuhe", "Stiefel", 35),
    "Kaffeemaschine": ("Küche", "Kaffee", 140),
    "Wasserkocher": ("Küche", "Kocher", 45),
    "Schreibtischlampe": ("Wohnen", "Lampe", 50),
    "Bücherregal": ("Wohnen", "Regal", 95),
}
COLOURS = {"rot": "rote", "blau": "blaue", "grün": "grüne", "schwarz": "schwarze", "weiß": "weiße"}
MATERIALS = ("Holz", "Leder", "Kunststoff", "Edelstahl", "Baumwolle")
MAKERS = {"Bergfuchs": "DE", "Nordlicht": "DE", "Casa Nova": "IT", "Ferro": "ES", "Atelier Bleu": "FR", "Polder": "NL"}
PRAISE = (
    "Robust und für den täglichen Gebrauch gemacht.",
    "Leicht zu reinigen und sehr handlich.",
    "Mit zwei Jahren Garantie des Herstellers.",
    "Auch als Geschenk eine gute Wahl.",
    "Die Oberfläche ist unempfindlich gegen Kratzer.",
)


def documents(count=300, *, seed=7):
    """[(_id, _source)], some of them with gaps and oddities."""
    generator = random.Random(seed)
    found = []
    for number in range(count):
        thing, (group, other, middle) = generator.choice(list(THINGS.items()))
        colour, material = generator.choice(list(COLOURS)), generator.choice(MATERIALS)
        maker = generator.choice(list(MAKERS))
        sold = int(generator.paretovariate(0.8)) * 3
        source = {
            "artikelnr": f"{4_000_000 + number * 37}",
            "bezeichnung": f"{maker} {thing} {COLOURS[colour]} {generator.choice(('Classic', 'Pro', 'Eco', 'XL'))}",
            "langtext": " ".join(
                [f"{thing} aus {material} in {colour}, ein {other} von {maker}.", *generator.sample(PRAISE, 3)]
            ),
            "hersteller": {"name": maker, "land": MAKERS[maker]},
            "warengruppen": [group, other],
            "merkmale": [
                {"name": "Farbe", "wert": colour},
                {"name": "Material", "wert": material},
                {"name": "Gewicht", "wert": f"{generator.randint(1, 90) / 10} kg"},
            ],
            "farbe": colour,
            "groessen": sorted(generator.sample(["S", "M", "L", "XL"], generator.randint(1, 3))),
            "preis_eur": round(middle * generator.uniform(0.6, 1.6), 2),
            "bewertung": round(generator.uniform(2.5, 5), 1),
            "anzahlBewertungen": generator.randint(0, 400),
            "verkaufteStueck": sold,
            "lagerbestand": generator.choice([0, 0, 3, 12, 150]),
            "lieferbar": generator.random() < 0.8,
            "eingestellt_am": f"{generator.randint(1, 28):02}.{generator.randint(1, 12):02}.202{generator.randint(0, 4)}",
            "bild_url": f"https://bilder.example/{number}.jpg",
            "bild_vektor": [generator.gauss(0, 1) + 0.01 for _ in range(4)],
            "lager_ort": {"lat": 52.5, "lon": 13.4},
            "erp": {"notiz": f"Satz {number}", "tief": {"mehr": [1, "zwei"]}},
        }
        if number % 11 == 0:
            source["preis_eur"] = -1.0  # "on request", as that script writes it
        if number % 13 == 0:
            del source["preis_eur"]
        if number % 17 == 0:
            source["hersteller.name"] = source.pop("hersteller")["name"]  # a dotted key instead of an object
        if number % 19 == 0:
            source["langtext"] = None
        if number % 23 == 0:
            source["preis_eur"] = [source.get("preis_eur", 10.0), 999.0]
        if number % 29 == 0:
            source["merkmale"] = source["merkmale"][0]  # one object where others have a list of them
        if number % 31 == 0:
            source["eingestellt_am"] = 1_700_000_000_000 + number
        found.append((f"a-{number}", source))
    return found


def queries():
    """The queries that people judged, each with what it asks for."""
    asked = []
    for thing, (_, other, _) in THINGS.items():
        asked += [(f"{thing} {colour}".lower(), thing, colour, None) for colour in ("rot", "blau", "schwarz")]
        asked += [(f"{maker} {other}", thing, None, maker) for maker in ("Bergfuchs", "Polder")]
        asked.append((other, thing, None, None))
    return asked


def judgments(found, *, depth=20, seed=7):
    """[(query, _id, grade 0 to 3)]: what is asked for in full, in part, and at random."""
    generator = random.Random(seed)
    rows = []
    for query, thing, colour, maker in queries():
        graded = {}
        for name, source in found:
            if thing not in source["bezeichnung"]:
                continue
            whole = (colour is None or source["farbe"] == colour) and (maker is None or maker in source["bezeichnung"])
            graded[name] = 1 + whole + (whole and source["verkaufteStueck"] >= 9)
        chosen = generator.sample(sorted(graded), min(len(graded), depth * 3 // 4))
        others = [name for name, _ in generator.sample(found, depth) if name not in graded]
        rows += [(query, name, int(graded.get(name, 0))) for name in dict.fromkeys([*chosen, *others[: depth // 4]])]
    return rows


def write_judgments(path, found, **options):
    """The judgments as CSV."""
    lines = [f"{query},{name},{grade}" for query, name, grade in judgments(found, **options)]
    path.write_text("\n".join(["query,product_id,grade", *lines]) + "\n", encoding="utf-8")


def create(engine, index, found, *, mappings=MAPPINGS, settings=SETTINGS):
    """Make the index and put the documents into it."""
    engine.call("PUT", f"/{index}", {"settings": settings, "mappings": mappings}, timeout_s=120)
    lines = [line for name, source in found for line in ({"index": {"_id": name}}, source)]
    if lines:
        answer = engine.call("POST", f"/{index}/_bulk", lines, params={"refresh": True})
        assert not answer["errors"], json.dumps(answer)[:500]


@contextmanager
def standing(engine, found=None, **made):
    """An index of these documents under a name of its own, removed afterwards; yields the name."""
    index = f"ini-{uuid.uuid4().hex[:12]}"
    try:
        create(engine, index, documents() if found is None else found, **made)
        yield index
    finally:
        engine.call("DELETE", f"/{index}", allow=(404,))
