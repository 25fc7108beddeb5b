"""The page at /, in a real browser against the real service."""

import json
import math
import re
import urllib.request
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import expect

import ltr.serving
from ltr.serving.answer import Reason
from ltr.serving.settings import Settings
from made.browser import CONTRASTS, Tab, chromium, running

PAGE = Path(ltr.serving.__file__).parent / "page"
QUERY = "black leather wireless kitchen"  # of 100 candidates, some of which score alike
KEY = "a-key-of-this-test"
HURT = "<img src=x onerror='window.hurt = 1'><script>window.hurt = 1</script>&amp;"
# A shared machine may pause for longer than people would wait.
PATIENT = Settings(people_ms=30_000.0, most_ms=30_000.0)
PHONE = {"width": 360, "height": 740, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
# What the browser itself says of an answer that is an error.
FETCHED = "Failed to load resource"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def service(shop):
    with running(shop, PATIENT) as started:
        yield started


@pytest.fixture
def visit(browser, service):
    """Opens tabs; when the test ends none of them has said an error or asked elsewhere."""
    tabs = []

    def opened(url=service.url, **options):
        tabs.append(Tab(browser, url, **options))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.context.close()
    for tab in tabs:
        assert tab.errors == []
        assert {url for url in tab.requests if not url.startswith(tab.url)} == set()


@pytest.fixture
def switched_off(service):
    service.answering.off = True
    yield
    service.answering.off = False


def asked(service, path, value):
    """What the service answers, without a browser."""
    with urllib.request.urlopen(f"{service.url}{path}", json.dumps(value).encode(), timeout=30) as answer:
        return json.loads(answer.read())


def number(text):
    return float(text.replace("−", "-"))


def explained(tab, rank, table):
    """Feature and figure of each row of one of a product's tables, also of those that are not shown."""
    rows = tab.page.locator("#reranked .details").nth(rank - 1).locator("table").nth(table).locator("tbody tr")
    return {
        feature: float(value)
        for feature, value in rows.evaluate_all(
            "rows => rows.map(row => [row.querySelector('th').textContent, row.querySelector('data').value])"
        )
    }


def test_a_search_by_keyboard_alone_shows_both_orders_and_why(visit):
    tab = visit()
    tab.open()
    keyboard = tab.page.keyboard
    keyboard.type(QUERY)  # the cursor is in the box already
    with tab.page.expect_response("**/search") as came:
        keyboard.press("Enter")
    tab.settled()
    answer = came.value.json()
    assert answer["query"] == QUERY
    assert came.value.request.post_data_json["context"] == {"client": "page"}
    assert tab.texts("#retrieval li:visible h3") == [one["title"] for one in answer["retrieval"][:20]]
    focused = "document.activeElement.textContent"
    for _ in range(60):
        keyboard.press("Tab")
        if tab.page.evaluate(focused) == answer["results"][0]["title"]:
            break
    assert tab.page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"
    keyboard.press("Enter")
    assert tab.page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    tab.page.locator("#reranked .details table").first.wait_for()
    keyboard.press("ArrowDown")
    assert tab.page.evaluate(focused) == answer["results"][1]["title"]
    keyboard.press("ArrowUp")
    keyboard.press("Space")
    assert tab.page.locator("#reranked .details:visible").count() == 0


def test_movement_is_that_of_the_answer_by_sign_and_in_words(visit):
    tab = visit()
    tab.open()
    answer = tab.search(QUERY)
    tab.page.click("#more")
    signs, words = tab.texts("#reranked .movement [aria-hidden]"), tab.texts("#reranked .movement .heard")
    ranks = {one["product_id"]: one["rank"] for one in answer["results"]}
    assert len(signs) == len(answer["results"]) == answer["candidates"] > 20
    assert tab.texts("#reranked .facts code") == list(ranks)
    assert tab.texts("#reranked .went") == [f"was {one['was']}" for one in answer["results"]]
    for one, sign, word in zip(answer["results"], signs, words, strict=True):
        places = one["was"] - one["rank"]
        wanted = ("▲", "up") if places > 0 else ("▼", "down")
        assert (sign, word) == (
            (f"{wanted[0]} {abs(places)}", f"{wanted[1]} {abs(places)}") if places else ("=", "same place")
        )
    assert tab.texts("#retrieval .facts code") == [one["product_id"] for one in answer["retrieval"]]
    assert tab.texts("#retrieval .went") == [f"now {ranks[one['product_id']]}" for one in answer["retrieval"]]
    moved = sum(one["was"] != one["rank"] for one in answer["results"])
    fresh = sum(one["was"] > 10 for one in answer["results"][:10])
    told = tab.page.inner_text("#told")
    assert told.startswith(f"{answer['candidates']} candidates in ")
    assert f"{moved} moved" in told
    assert f"{fresh} of the first 10" in told


def test_scores_latency_by_stage_and_versions_are_told(visit, service, shop):
    tab = visit()
    tab.open()
    answer = tab.search(QUERY)
    assert [number(text.split()[-1]) for text in tab.texts("#reranked li:visible .score")] == [
        pytest.approx(one["score"], abs=0.0006) for one in answer["results"][:20]
    ]
    told = dict(text.split("\n") for text in tab.texts("#timings dl > div"))
    assert list(told) == [*answer["timings_ms"], "in all", "round trip"]
    for stage, ms in answer["timings_ms"].items():
        assert float(told[stage]) == pytest.approx(ms, abs=0.06)
    assert float(told["round trip"]) > answer["took_ms"] - 0.1
    assert shop.model[:12] in tab.page.inner_text("#version")
    assert shop.bundle.state.version[:12] in tab.page.inner_text("#version")


def test_the_head_is_shown_and_the_rest_on_request(visit):
    tab = visit()
    tab.open()
    answer = tab.search(QUERY)
    assert [tab.page.locator(f"#{order} li:visible").count() for order in ("retrieval", "reranked")] == [20, 20]
    deep = next(one for one in answer["retrieval"][:20] if one["product_id"] in places(answer["results"][20:]))
    tab.page.locator("#retrieval li", has_text=deep["product_id"]).locator("button").click()
    assert tab.page.locator("#reranked li:visible").count() == answer["candidates"]
    assert tab.page.evaluate("document.activeElement.textContent") == deep["title"]
    tab.page.click("#more")
    assert tab.page.locator("#reranked li:visible").count() == 20


def places(results):
    return {one["product_id"]: one["rank"] for one in results}


def test_contributions_add_up_to_the_score_above_its_base(visit, service):
    tab = visit()
    tab.open()
    answer = tab.search(QUERY)
    tab.open_product(3)
    body = {"query": QUERY, "candidates": [one["product_id"] for one in answer["retrieval"]]}
    wanted = asked(service, "explain", body)
    row = wanted["results"][2]
    parts = explained(tab, 3, 0)
    assert parts == row["contributions"]
    assert math.fsum(parts.values()) == pytest.approx(answer["results"][2]["score"] - wanted["base"], abs=1e-5)
    table = tab.page.locator("#reranked .details").nth(2).locator("table").first
    assert table.locator("tr:visible").count() == 1 + 8
    tab.page.locator("#reranked .details").nth(2).locator("button").first.click()
    assert table.locator("tr:visible").count() == 1 + len(parts)
    shown = [abs(number(text)) for text in table.locator("data").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)


def test_why_a_product_is_above_the_next_is_what_the_service_says(visit, service):
    tab = visit()
    tab.open()
    answer = tab.search(QUERY)
    ids = [one["product_id"] for one in answer["results"]]
    ahead = [one["score"] - other["score"] for one, other in pairwise(answer["results"])]
    apart, alike = next(at for at in range(20) if ahead[at] > 0), ahead.index(0)
    body = {"query": QUERY, "candidates": [one["product_id"] for one in answer["retrieval"]]}
    wanted = asked(service, "explain", {**body, "why": ids[apart : apart + 2]})["why"]
    told = tab.open_product(apart + 1)
    assert explained(tab, apart + 1, 1) == pytest.approx(
        {one["feature"]: one["difference"] for one in wanted}, abs=1e-12
    )
    assert f"Why it is above {apart + 2}" in told.inner_text()
    assert f"Its score is {ahead[apart]:.3f} higher" in told.inner_text()
    assert "Their scores are equal" in tab.open_product(alike + 1).inner_text()
    assert sum(url.endswith("/explain") for url in tab.requests) == 1  # the whole list is explained at once


def test_a_product_is_told_field_by_field(visit):
    tab = visit()
    tab.open()
    answer = tab.search(QUERY)
    tab.open_product(1)
    told = dict(text.split("\n", 1) for text in tab.texts("#reranked .details:visible .product dl > div"))
    product = answer["results"][0]["product"]
    assert told.keys() == product.keys()
    assert told["title"] == product["title"]
    assert float(told["price"]) == product["price"]
    assert told["sizes"] == ", ".join(product["sizes"])


@pytest.mark.usefixtures("switched_off")
def test_an_order_that_is_not_the_rankers_says_so_and_what_to_do(visit):
    tab = visit()
    tab.open()
    answer = tab.search(QUERY)
    assert answer["reason"] == "switched_off"
    told = tab.page.inner_text("#notice")
    for words in ("Not reranked", "Reranking is switched off", "/admin/on", "switched_off", answer["request_id"]):
        assert words in told
    assert tab.texts("#reranked li:visible .movement [aria-hidden]") == ["="] * 20
    assert set(tab.texts("#reranked .score")) == {""}
    tab.open_product(1)
    assert "nothing to explain" in tab.page.locator("#reranked .details").first.inner_text()


def test_every_reason_has_words_and_a_remedy():
    script = (PAGE / "page.js").read_text(encoding="utf-8")
    table = re.search(r"const REASONS = \{\n(.*?)^\};", script, re.DOTALL | re.MULTILINE)[1]
    told = re.findall(r'^  (\w+): \["[A-Z][^"]+\.",\s+(?:"[A-Z][^"]+\."|ROLL_BACK)\],$', table, re.MULTILINE)
    assert sorted(told) == sorted({reason.value for reason in Reason} - {""})


def test_what_catalogues_and_shoppers_write_is_text(visit):
    tab = visit()

    def hostile(route):
        answer = route.fetch(post_data=json.dumps({"query": QUERY, "size": 100})).json()
        for one in (*answer["retrieval"], *answer["results"]):
            one["title"] = HURT
        for one in answer["results"]:
            one["product"] = {"title": HURT, HURT: HURT, "kind": [HURT, {HURT: HURT}]}
        answer["retrieval"][0]["product_id"] = answer["results"][0]["product_id"] = HURT
        route.fulfill(json={**answer, "request_id": HURT, "reason": HURT, "degraded": True})

    tab.page.route("**/search", hostile)
    tab.open()
    tab.search(HURT)
    tab.open_product(1)
    assert tab.page.input_value("#query") == HURT
    assert tab.texts("#retrieval h3")[0] == HURT
    assert HURT in tab.texts("#reranked .product dt")
    assert HURT in tab.page.inner_text("#notice")
    tab.page.unroute("**/search")
    tab.page.route("**/search", lambda route: route.fulfill(status=422, json={"error": HURT}))
    tab.page.click("#search button")
    expect(tab.page.locator("#notice")).to_contain_text(f"The service says: {HURT}")
    assert tab.expected(FETCHED)
    assert tab.page.evaluate("window.hurt") is None
    assert tab.page.locator("img, body script").count() == 0


def test_no_script_and_no_style_runs_that_is_not_a_file_of_ours(visit, service):
    with urllib.request.urlopen(service.url, timeout=30) as answer:
        policy, markup = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|https?:", markup)
    tab = visit()
    tab.open()
    tab.page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.hurt = 1";
      document.body.append(script);
    }""")
    assert tab.page.evaluate("window.hurt") is None
    assert tab.expected("Content Security Policy")


def test_an_address_can_be_shared_and_the_back_button_goes_back(visit):
    tab = visit()
    tab.open(f"?q={QUERY.replace(' ', '+')}")
    assert tab.page.input_value("#query") == QUERY
    first = tab.texts("#reranked li:visible h3")
    assert len(first) == 20
    tab.search("garden & tools")
    assert tab.page.url.endswith("?q=garden+%26+tools")
    assert tab.page.title().startswith("garden & tools")
    assert tab.texts("#reranked li:visible h3") != first
    tab.page.go_back()
    expect(tab.page.locator("#query")).to_have_value(QUERY)
    tab.settled()
    assert tab.texts("#reranked li:visible h3") == first
    tab.page.go_forward()
    expect(tab.page.locator("#query")).to_have_value("garden & tools")
    tab.settled()
    tab.page.fill("#query", " ")
    tab.page.press("#query", "Enter")
    assert tab.page.locator("#welcome").is_visible()
    assert tab.page.url == tab.url


def test_an_empty_page_tells_what_to_try(visit, service):
    with urllib.request.urlopen(f"{service.url}version", timeout=30) as answer:
        examples = json.loads(answer.read()).get("examples", [])
    tab = visit()
    tab.open()
    assert "Type what a shopper would type" in tab.page.inner_text("#welcome")
    assert tab.texts("#welcome li") == examples
    tab.page.route("**/version", lambda route: route.fulfill(json={"model": "0" * 64, "examples": ["hats & caps"]}))
    tab.open()
    tab.page.click("text=hats & caps")
    tab.settled()
    assert tab.page.input_value("#query") == "hats & caps"
    assert tab.page.url.endswith("?q=hats+%26+caps")
    assert tab.page.locator("#reranked li:visible").count() > 0


def test_a_query_without_candidates_is_told(visit, browser, counted):
    with running(counted, PATIENT) as service:
        tab = visit(service.url)
        tab.open()
        assert tab.search("xyzzy")["candidates"] == 0
        assert "Nothing was found for “xyzzy”" in tab.page.inner_text("#told")
        assert "fewer or other words" in tab.page.inner_text("#welcome")
        assert not tab.page.locator("#orders").is_visible()


def test_a_search_engine_that_does_not_answer_is_told(visit, engine):
    with running(engine, Settings()) as service:
        tab = visit(service.url)
        tab.open(f"?q={QUERY}")
        told = tab.page.inner_text("#notice")
        for words in ("Retrieval failed", "Is it up", "no candidates were retrieved"):
            assert words in told
        assert tab.expected(FETCHED)


def test_a_service_that_cannot_be_reached_is_told_and_asked_again(visit):
    tab = visit()
    tab.open()
    tab.page.route("**/search", lambda route: route.abort())
    tab.page.fill("#query", QUERY)
    tab.page.press("#query", "Enter")
    tab.page.locator("#notice h2").wait_for()
    assert "cannot be reached" in tab.page.inner_text("#notice")
    assert tab.expected(FETCHED)
    tab.page.unroute("**/search")
    tab.page.click("text=Try again")
    tab.page.locator("#reranked li:visible").first.wait_for()
    assert not tab.page.locator("#notice h2").is_visible()


FAULTS = {
    "a query that is too long": ({}, f"?q={'x' * 1_001}", "does not take this query", "1,001 characters"),
    "too many": ({"status": 429, "json": {"error": "later"}}, "?q=a", "Too many searches", "later"),
    "busy": (
        {"status": 503, "json": {"error": "none (overloaded)"}},
        "?q=a",
        "nothing to rerank",
        "More requests came",
    ),
    "broken": ({"status": 500, "body": "<h1>oops"}, "?q=a", "The service failed", "status 500"),
    "somebody else": ({"status": 200, "body": "<h1>welcome"}, "?q=a", "cannot be read", "Something other than ltr"),
    "other JSON": ({"status": 200, "json": {"candidates": 3}}, "?q=a", "cannot be read", "Something other than ltr"),
    "null": ({"status": 200, "json": None}, "?q=a", "cannot be read", "Something other than ltr"),
}


@pytest.mark.parametrize(("answer", "path", "heading", "words"), FAULTS.values(), ids=FAULTS)
def test_whatever_comes_back_is_told_in_plain_words(visit, answer, path, heading, words):
    tab = visit()
    if answer:
        tab.page.route("**/search", lambda route: route.fulfill(**answer))
    tab.open(path)
    assert heading in tab.page.inner_text("#notice h2")
    assert words in tab.page.inner_text("#notice")
    assert not tab.page.locator("#orders").is_visible()
    tab.expected(FETCHED)


def test_an_explanation_that_fails_can_be_asked_for_again(visit):
    tab = visit()
    tab.open()
    tab.search(QUERY)
    tab.page.route("**/explain", lambda route: route.abort())
    tab.open_product(1)
    details = tab.page.locator("#reranked .details").first
    assert "could not be explained" in details.inner_text()
    assert "The product" in details.inner_text()
    assert tab.expected(FETCHED)
    tab.page.unroute("**/explain")
    details.locator("text=Try again").click()
    details.locator("table").first.wait_for()


def test_an_answer_that_comes_late_does_not_take_the_place_of_a_later_one(visit):
    tab = visit()
    tab.open()
    held = []
    tab.page.route("**/search", lambda route: held.append(route) if not held else route.continue_())
    tab.page.fill("#query", "slow")
    tab.page.press("#query", "Enter")
    tab.page.locator("text=Searching…").wait_for()
    tab.page.fill("#query", QUERY)
    tab.page.press("#query", "Enter")
    tab.page.locator("#reranked li:visible").first.wait_for()
    first = tab.texts("#reranked li:visible h3")
    held[0].abort()
    tab.settled()
    assert tab.texts("#reranked li:visible h3") == first
    assert "candidates" in tab.page.inner_text("#told")


def test_a_key_is_asked_for_kept_in_the_tab_alone_and_forgotten(visit, shop):
    with running(shop, replace(PATIENT, keys=(KEY,))) as service:
        tab = visit(service.url)
        tab.open(f"?q={QUERY}")
        field = tab.page.locator("#key-value")
        assert field.get_attribute("type") == "password"
        assert tab.page.evaluate("document.activeElement.id") == "key-value"
        for wrong, words in (("schlüssel", "visible ASCII"), ("some-other-key-of-this-test", "was refused")):
            field.fill(wrong)
            field.press("Enter")
            expect(tab.page.locator("#key-told")).to_contain_text(words)
        field.fill(KEY)
        field.press("Enter")
        tab.page.locator("#reranked li:visible").first.wait_for()
        assert field.input_value() == ""
        assert not field.is_visible()
        assert shop.model[:12] in tab.page.inner_text("#version")
        tab.open_product(1)
        assert tab.page.locator("#reranked table").first.is_visible()
        assert KEY not in tab.page.content() + tab.page.url
        assert tab.page.evaluate("[localStorage.length, document.cookie, Object.values(sessionStorage)]") == [
            0,
            "",
            [KEY],
        ]
        other = tab.new_page()
        other.goto(service.url)
        other.locator("#key-value").wait_for()
        tab.page.reload()
        tab.page.locator("#reranked li:visible").first.wait_for()
        tab.page.click("text=Forget the API key")
        field.wait_for()
        assert tab.page.evaluate("sessionStorage.length") == 0
        assert not tab.page.locator("#orders").is_visible()
        assert tab.expected(FETCHED)


def test_a_phone_shows_one_list_at_a_time_and_never_scrolls_sideways(visit):
    tab = visit(**PHONE)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    tab.open()
    assert not tab.page.evaluate(wide)
    tab.search(QUERY)
    assert tab.page.locator("#reranked").is_visible()
    assert not tab.page.locator("#retrieval").is_visible()
    assert tab.texts("#reranked .went")[0].startswith("was ")
    tab.open_product(1)
    assert tab.page.locator("#reranked table").count() == 2
    assert not tab.page.evaluate(wide)
    tab.page.check("#show-retrieval")
    assert tab.page.locator("#retrieval").is_visible()
    assert not tab.page.locator("#reranked").is_visible()
    assert not tab.page.evaluate(wide)
    tab.page.locator("#retrieval li button").first.click()
    assert tab.page.locator("#reranked").is_visible()
    small = "[...document.querySelectorAll('button, input:not([type=radio])')].filter(one => one.checkVisibility() && "
    small += "one.getBoundingClientRect().height < 20).length"
    assert tab.page.evaluate(small) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_reading_needs(visit, scheme):
    tab = visit(color_scheme=scheme)
    tab.open()
    seen = tab.page.evaluate(CONTRASTS)
    tab.search(QUERY)
    tab.open_product(2)
    tab.page.hover("#reranked h3 button >> nth=0")
    seen += tab.page.evaluate(CONTRASTS)
    tab.page.route("**/search", lambda route: route.abort())
    tab.page.click("#search button")
    tab.page.locator("#notice h2").wait_for()
    seen += tab.page.evaluate(CONTRASTS)
    assert tab.expected(FETCHED)
    assert len(seen) > 200
    assert [one for one in seen if one["ratio"] < one["needed"]] == []
    paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_what_is_shown_is_also_told_to_who_does_not_see_it(visit):
    tab = visit()
    tab.open()
    tab.search(QUERY)
    tab.open_product(1)
    page = tab.page
    for role, name in (("banner", None), ("search", None), ("main", None), ("contentinfo", None),
                       ("searchbox", "Query"), ("region", "Retrieval"), ("region", "Reranked")):  # fmt: skip
        assert page.get_by_role(role, **({"name": name} if name else {})).count() == 1, role
    assert page.get_attribute("html", "lang") == "en"
    assert "candidates" in page.get_by_role("status").first.inner_text()
    assert "Explained. Score" in page.inner_text("#heard")
    assert page.evaluate("[...document.querySelectorAll('button, a, input')].filter(one => "
                         "!one.textContent.trim() && !one.labels?.length && !one.ariaLabel).length") == 0  # fmt: skip
    assert (
        page.evaluate("document.querySelectorAll('[aria-hidden=true] :is(a, button, input, [tabindex])').length") == 0
    )
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    pointing = "['aria-controls', 'aria-labelledby', 'aria-describedby', 'for'].flatMap(name => "
    pointing += "[...document.querySelectorAll(`[${name}]`)].map(one => one.getAttribute(name)))"
    assert set(page.evaluate(pointing)) <= set(ids)
    headings = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].filter(one => one.checkVisibility())"
                             ".map(one => Number(one.tagName[1]))")  # fmt: skip
    assert headings[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(headings))
    assert page.locator("#reranked th:not([scope])").count() == 0


def test_where_the_focus_is_can_be_seen(visit):
    tab = visit()
    tab.open()
    tab.search(QUERY)
    shown = set()
    for _ in range(30):
        tab.page.keyboard.press("Tab")
        outline = "(() => { const style = getComputedStyle(document.activeElement);"
        outline += " return style.outlineStyle + parseFloat(style.outlineWidth); })()"
        shown.add(tab.page.evaluate(outline))
    assert shown == {"solid2"}


@pytest.mark.parametrize(("wish", "behaviour"), [("reduce", "auto"), ("no-preference", "smooth")])
def test_nothing_moves_for_who_wants_no_motion(visit, wish, behaviour):
    tab = visit(reduced_motion=wish)
    tab.open()
    assert tab.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == behaviour
