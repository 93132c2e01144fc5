"""HTML and SVG in which every plain string is escaped: what came from a file cannot become markup."""

import html

_VOID = frozenset({"br", "img", "meta"})
_LONGEST = 160


class Html(str):
    """Markup; made by :func:`element` and :func:`join` only."""

    __slots__ = ()


Attribute = str | float | None


def visible(text: str) -> str:
    """``text`` with every character that steers or hides (controls, bidirectional overrides) written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shorten(text: str, longest: int = _LONGEST) -> str:
    """``text`` in at most ``longest`` characters; the middle goes, because names differ at their ends."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[: longest - 1 - half]}…{text[len(text) - half :]}"


def join(*children: str) -> Html:
    """Children one after the other; plain strings among them are escaped."""
    return Html("".join(_escaped(child) for child in children))


def element(tag: str, /, *children: str, **attributes: Attribute) -> Html:
    """``<tag attributes>children</tag>``; ``class_`` is class, ``aria_label`` aria-label; None leaves one out."""
    stated = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(_number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{stated}>")
    return Html(f"<{tag}{stated}>{join(*children)}</{tag}>")


def name(text: str, longest: int = _LONGEST) -> Html:
    """A name from a file: short, and with a direction of its own."""
    return element("bdi", shorten(visible(text), longest))


def _escaped(text: str) -> str:
    return text if isinstance(text, Html) else html.escape(visible(text))


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"
