"""Escaping by construction."""

from fs_runtime.report.markup import element, join, name, shorten, visible


def test_element_escapes_children_and_attributes_when_plain() -> None:
    assert element("p", "<b>&", title="\"'<") == '<p title="&quot;&#x27;&lt;">&lt;b&gt;&amp;</p>'


def test_element_keeps_children_when_they_are_markup() -> None:
    assert element("p", element("b", "x"), join("<", element("br"))) == "<p><b>x</b>&lt;<br></p>"


def test_element_escapes_when_markup_was_added_to_a_string() -> None:
    assert element("p", element("b") + "") == "<p>&lt;b&gt;&lt;/b&gt;</p>"


def test_element_names_attributes_when_they_are_keywords() -> None:
    made = element("svg", class_="a", aria_label="b", viewBox="c", x1=1.0, x2=0.126, width=None)
    assert made == '<svg class="a" aria-label="b" viewBox="c" x1="1" x2="0.13"></svg>'


def test_visible_writes_escapes_when_characters_steer_or_hide() -> None:
    assert visible("a\x1b\n\u202e\u200b\udcff é写") == "a\\x1b\\n\\u202e\\u200b\\udcff é写"


def test_shorten_keeps_both_ends_when_too_long() -> None:
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 10) == "abcde…hijk"
    assert len(shorten("x" * 999, 11)) == 11


def test_name_has_a_direction_of_its_own_when_from_a_file() -> None:
    assert name("<a>") == "<bdi>&lt;a&gt;</bdi>"
