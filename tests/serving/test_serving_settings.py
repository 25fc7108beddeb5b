"""Keys from the environment, and which addresses only this machine reaches."""

import pytest

from ltr.errors import ConfigError
from ltr.serving.settings import ADMIN_KEYS, KEYS, LEAST_KEY, Settings, read_keys

FIRST, SECOND = "a" * LEAST_KEY, "b" * LEAST_KEY


def test_several_keys_are_valid_at_once_so_that_one_can_be_replaced():
    assert read_keys({KEYS: f" {FIRST}, {SECOND},"}, KEYS) == (FIRST, SECOND)
    assert read_keys({KEYS: FIRST}, ADMIN_KEYS) == ()
    assert read_keys({}, KEYS) == ()


def test_keys_are_read_from_a_file_one_a_line(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"{FIRST}\r\n\n{SECOND}\n", encoding="utf-8")
    assert read_keys({f"{KEYS}_FILE": str(file)}, KEYS) == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({KEYS: "short"}, f"key 1 of {KEYS} is no key; at least {LEAST_KEY} visible"),
        ({KEYS: f"{FIRST},secret with spaces"}, f"key 2 of {KEYS} is no key"),
        ({KEYS: f"{FIRST}é"}, f"key 1 of {KEYS} is no key"),
        ({KEYS: " , "}, f"{KEYS} holds no key; leave it out"),
        ({KEYS: FIRST, f"{KEYS}_FILE": "keys"}, f"{KEYS} and {KEYS}_FILE are both set"),
        ({f"{KEYS}_FILE": "no-such-file"}, f"{KEYS}_FILE: 'no-such-file' cannot be read"),
    ],
)
def test_what_is_no_key_is_told_without_showing_it(told, message):
    with pytest.raises(ConfigError) as raised:
        read_keys(told, KEYS)
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)
    assert FIRST not in str(raised.value)


def test_an_empty_file_of_keys_does_not_open_the_service(tmp_path):
    file = tmp_path / "keys"
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys({f"{KEYS}_FILE": str(file)}, KEYS)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_is_private(host):
    assert Settings(host=host).private


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "search.shop", ""])
def test_all_else_may_be_reached_by_others(host):
    assert not Settings(host=host).private


def test_settings_show_no_key():
    shown = repr(Settings(keys=(FIRST,), admin_keys=(SECOND,)))
    assert FIRST not in shown
    assert SECOND not in shown
