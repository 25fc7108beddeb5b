"""What shops call their fields: words of six languages by the role that they tell.

A word with a blank stands for several that follow one another in a name (``list price``: list_price, listPrice, list.price).
Plurals are made where they are regular (a final s, e, n or en is passed over).

>>> words("preis_eur"), words("anzahlBewertungen"), words("Größe")
(('preis', 'eur'), ('anzahl', 'bewertungen'), ('grosse',))
>>> telling("preis_eur")[0]
Telling(role='price', language='German', word='preis')
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ltr.text import fold

__all__ = ["ATTRIBUTE_NAMES", "ATTRIBUTE_VALUES", "ROLES", "STOP_WORDS", "Telling", "telling", "words"]

# In the order in which they are tried, so that what two roles could claim goes to the more special one.
ROLES: Final[dict[str, dict[str, str]]] = {
    "link": {
        "English": "url, uri, link, image, images, img, thumbnail, photo, picture, slug, href, path",
        "German": "bild, bilder, foto, verweis",
        "French": "lien, vignette",
        "Spanish": "enlace, imagen, imagenes",
        "Italian": "immagine, immagini, collegamento",
        "Dutch": "afbeelding, plaatje",
    },
    "rating_count": {
        "English": "rating count, ratings count, review count, reviews count, num reviews, num ratings, number of reviews, "
        "number of ratings, reviews, ratings, votes, vote count, rating number",
        "German": "anzahl bewertungen, bewertungen anzahl, anzahl rezensionen, rezensionen, stimmen, bewertungsanzahl",
        "French": "nombre avis, nb avis, nombre d avis, avis, nb notes, nombre notes",
        "Spanish": "numero resenas, num resenas, resenas, numero valoraciones, opiniones",
        "Italian": "numero recensioni, num recensioni, recensioni, numero voti",
        "Dutch": "aantal beoordelingen, aantal reviews, beoordelingen, recensies",
    },
    "rating": {
        "English": "rating, stars, avg rating, average rating, review score",
        "German": "bewertung, sterne, kundenbewertung",
        "French": "note, note moyenne, etoiles, evaluation",
        "Spanish": "valoracion, puntuacion, calificacion, estrellas",
        "Italian": "valutazione, valutazione media, punteggio, voto medio",
        "Dutch": "beoordeling, sterren, waardering",
    },
    "list_price": {
        "English": "list price, msrp, rrp, was price, old price, original price, compare at price, regular price, srp",
        "German": "uvp, streichpreis, listenpreis, originalpreis, alter preis, preis alt",
        "French": "prix barre, ancien prix, prix conseille, prix public",
        "Spanish": "precio anterior, precio original, pvp, precio lista",
        "Italian": "prezzo listino, prezzo originale, prezzo precedente",
        "Dutch": "adviesprijs, oude prijs, van prijs",
    },
    "price": {
        "English": "price, cost, sale price, amount, price cents",
        "German": "preis, verkaufspreis, endpreis, bruttopreis, nettopreis",
        "French": "prix, tarif",
        "Spanish": "precio, importe",
        "Italian": "prezzo, costo",
        "Dutch": "prijs, verkoopprijs",
    },
    "popularity": {
        "English": "popularity, sales, sold, units sold, sales rank, orders, order count, purchases, bestseller, page views, view count, clicks, "
        "popularity score, boost",
        "German": "beliebtheit, verkauft, verkaufte, verkaufte stuck, verkaufte stueck, verkaufe, verkaufszahl, absatz, "
        "bestellungen, aufrufe, umsatz",
        "French": "popularite, ventes, vendus, commandes, vues",
        "Spanish": "popularidad, ventas, vendidos, pedidos, visitas",
        "Italian": "popolarita, vendite, venduti, ordini, visualizzazioni",
        "Dutch": "populariteit, verkocht, verkopen, bestellingen, weergaven",
    },
    "stock": {
        "English": "stock, in stock, inventory, quantity, qty, available, availability, stock level",
        "German": "lagerbestand, bestand, lieferbar, verfugbar, verfuegbar, verfugbarkeit, vorrat, auf lager, menge",
        "French": "disponible, disponibilite, quantite, en stock",
        "Spanish": "existencias, inventario, disponibilidad, cantidad",
        "Italian": "giacenza, disponibile, disponibilita, quantita, magazzino",
        "Dutch": "voorraad, op voorraad, beschikbaar, leverbaar, aantal",
    },
    "identifier": {
        "English": "sku, ean, gtin, upc, asin, isbn, mpn, id, uuid, code, barcode, item number, part number, model number, "
        "article number, product code, product id, item id",
        "German": "artikelnr, artikelnummer, artnr, art nr, artikel nr, bestellnummer, herstellernummer, hersteller nr, nummer, "
        "teilenummer",
        "French": "reference, ref, code barre, identifiant, numero article",
        "Spanish": "referencia, codigo, identificador, codigo barras",
        "Italian": "codice, riferimento, codice articolo, identificativo",
        "Dutch": "artikelnummer, bestelnummer, productcode, barcode",
    },
    "brand": {
        "English": "brand, manufacturer, maker, vendor, brand name, label name, publisher, author",
        "German": "marke, hersteller, markenname, herstellername, verlag",
        "French": "marque, fabricant, editeur",
        "Spanish": "marca, fabricante, editorial",
        "Italian": "produttore, editore, casa produttrice",
        "Dutch": "merk, fabrikant, uitgever",
    },
    "category": {
        "English": "category, categories, department, taxonomy, breadcrumb, product type, product category, genre, collection, "
        "category path, product class, subcategory",
        "German": "kategorie, kategorien, warengruppe, produktgruppe, produktart, artikelgruppe, rubrik, sortiment, abteilung",
        "French": "categorie, rayon, famille, type produit",
        "Spanish": "categoria, categorias, familia, seccion, departamento, tipo producto",
        "Italian": "categoria, categorie, reparto, famiglia, tipologia",
        "Dutch": "categorie, categorieen, productgroep, afdeling, rubriek",
    },
    "colour": {
        "English": "color, colour, colors, colours",
        "German": "farbe, farben, farbton",
        "French": "couleur, couleurs, coloris",
        "Spanish": "color, colores",
        "Italian": "colore, colori",
        "Dutch": "kleur, kleuren",
    },
    "size": {
        "English": "size, sizes, dimension, dimensions",
        "German": "grosse, groesse, grossen, groessen, masse, konfektionsgrosse",
        "French": "taille, tailles, pointure, dimensions",
        "Spanish": "talla, tallas, tamano",
        "Italian": "taglia, taglie, misura, misure",
        "Dutch": "maat, maten, afmeting",
    },
    "material": {
        "English": "material, materials, fabric",
        "German": "material, materialien, stoff, gewebe",
        "French": "materiau, materiaux, matiere, tissu",
        "Spanish": "material, materiales, tejido",
        "Italian": "materiale, materiali, tessuto",
        "Dutch": "materiaal, materialen, stof",
    },
    "audience": {
        "English": "gender, audience, target group, age group, department gender",
        "German": "geschlecht, zielgruppe, altersgruppe",
        "French": "sexe, public cible, genre cible",
        "Spanish": "genero, publico, sexo",
        "Italian": "sesso, destinatario, pubblico",
        "Dutch": "geslacht, doelgroep",
    },
    "tags": {
        "English": "tag, tags, keyword, keywords, labels, features, attributes, attribute values, specs, specifications",
        "German": "schlagwort, schlagworte, stichwort, stichworte, merkmal, merkmale, eigenschaften, attribute",
        "French": "etiquette, etiquettes, mots cles, mot cle, caracteristiques, attributs",
        "Spanish": "etiqueta, etiquetas, palabras clave, caracteristicas, atributos",
        "Italian": "etichetta, etichette, parole chiave, caratteristiche, attributi",
        "Dutch": "trefwoord, trefwoorden, kenmerk, kenmerken, eigenschappen",
    },
    "description": {
        "English": "description, desc, long description, short description, details, content, body, summary, overview, abstract, "
        "long text, bullet points, bullets, about, plot",
        "German": "beschreibung, produktbeschreibung, langtext, langbeschreibung, kurzbeschreibung, inhalt, details",
        "French": "descriptif, contenu, resume, texte long",
        "Spanish": "descripcion, contenido, resumen, detalle, detalles",
        "Italian": "descrizione, contenuto, riassunto, dettagli",
        "Dutch": "omschrijving, beschrijving, inhoud, samenvatting",
    },
    "title": {
        "English": "title, name, product name, product title, item name, headline, label, heading",
        "German": "titel, bezeichnung, produktname, produktbezeichnung, artikelname, artikelbezeichnung, benennung, kurztext",
        "French": "titre, nom, nom produit, designation, libelle, intitule",
        "Spanish": "titulo, nombre, nombre producto, denominacion",
        "Italian": "titolo, nome, nome prodotto, denominazione",
        "Dutch": "titel, naam, productnaam, benaming",
    },
}

# What a nested attribute calls its name and its value.
ATTRIBUTE_NAMES: Final = frozenset(
    "name key label attribute title code bezeichnung merkmal schlussel schluessel nom cle nombre clave nome chiave naam".split()  # noqa: SIM905
)
ATTRIBUTE_VALUES: Final = frozenset(
    "value values val wert werte valeur valeurs valor valores valore valori waarde".split()  # noqa: SIM905
)

# Words that nearly every text of a language has, by the analyzer of the language.
STOP_WORDS: Final[dict[str, frozenset[str]]] = {
    language: frozenset(listed.split())
    for language, listed in {
        "english": "the and of with for is from this your are you to by an it that",
        "german": "der die das und mit fur ist von aus ein eine den im zu auch sehr des",
        "french": "le la les et avec pour est des une un du dans sur ce cette aux",
        "spanish": "el la los las y con para es de una un por del su en al",
        "italian": "il lo la gli e con per di una un del della dei che alla nel",
        "dutch": "de het een en met voor is van op te deze dit uw ook aan zijn",
    }.items()
}

_HUMP: Final = re.compile(r"(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Þ])")
_WORD: Final = re.compile(r"[^\W_]+")
# Names within an object that leave it to the object to say what they are.
_SAY_NOTHING: Final = (
    ATTRIBUTE_NAMES | ATTRIBUTE_VALUES | {"text", "raw", "display", "default", "de", "en", "fr", "es", "it", "nl"}
)
_ENDINGS: Final = ("", "s", "e", "n", "en", "es")
_INSIDE: Final = 5  # letters of a word that may be part of a compound: verkaufspreis


class Telling(NamedTuple):
    """A role that a name tells, and by which word of which language."""

    role: str
    language: str
    word: str


def words(name: str) -> tuple[str, ...]:
    """The words of a field's name, folded: parts of camelCase, snake_case, kebab-case and dotted names."""
    return tuple(_WORD.findall(fold(_HUMP.sub("_", name))))


def telling(name: str) -> list[Telling]:
    """The roles that a name tells, the likeliest first: whole words before compounds, long words before short ones.

    Of a field in an object its own name tells, unless that says nothing: ``brand.name`` is a brand, ``brand.country`` is none.

    >>> [each.role for each in telling("hersteller.name")], telling("hersteller.land"), telling("x17")
    (['brand', 'title'], [], [])
    """
    own = name.rpartition(".")[2]
    given = words(name if set(words(own)) <= _SAY_NOTHING else own)
    spelt = "_" + "_".join(given) + "_"
    found: list[tuple[int, int, Telling]] = []
    for order, (role, languages) in enumerate(ROLES.items()):
        lengths = {
            Telling(role, language, word): _length(word, given, spelt)
            for language, listed in languages.items()
            for word in listed.split(", ")
        }
        best = max(lengths, key=lengths.__getitem__)
        if lengths[best]:
            found.append((-lengths[best], order, best))
    return [each for _, _, each in sorted(found)]


def _length(word: str, given: tuple[str, ...], spelt: str) -> int:
    """How much of the name a word explains: 0 nothing, whole words more than a part of a compound."""
    folded = word.replace(" ", "_")
    if any(f"_{folded}{ending}_" in spelt for ending in _ENDINGS):
        return 100 * (1 + folded.count("_")) + len(folded)
    plain = folded.replace("_", "")
    if len(plain) >= _INSIDE and any(plain in one for one in given):
        return len(plain)
    return 0
