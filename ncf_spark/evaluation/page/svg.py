"""matplotlib's SVG → an element that stands in a page: its colours, its font, no ids, no address.

Colours become the page's variables, so that a picture follows the light or dark of its reader and
is black on white on paper. A shape that is drawn several times is written out each time: without
ids, which matplotlib draws at random, any number of pictures stand in one page. Its metadata, with
the time of the drawing, goes too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FONT = re.compile(r"'DejaVu Sans'[^;]*")
_COLOUR = re.compile(r"#[0-9a-f]{6}")


def inline_svg(svg: str, *, label: str, colours: Mapping[str, str]) -> str:
    """The `<svg>` element for a page.

    Args:
        svg: a document of matplotlib's SVG backend, text kept as text.
        label: what the picture tells, for those who do not see it.
        colours: the page's variable for each colour, as in {"#1a1a1a": "ink"}.
    """
    root = ElementTree.fromstring(svg)
    shapes = {
        identity: element for element in root.iter() if (identity := element.get("id")) is not None
    }
    view_box = root.get("viewBox", "")
    picture = ElementTree.Element("svg", {"role": "img", "aria-label": printable(label)})
    picture.attrib |= {"viewBox": view_box, "width": _whole(view_box, 2), "focusable": "false"}
    picture.extend(copy for child in root if (copy := _copy(child, shapes, colours)) is not None)
    return ElementTree.tostring(picture, encoding="unicode")


def printable(text: str) -> str:
    """The text without what neither XML nor a page can hold."""
    return _NOT_XML.sub("\ufffd", text)


def _whole(view_box: str, position: int) -> str:
    return str(round(float(view_box.split()[position])))


def _copy(
    element: ElementTree.Element,
    shapes: Mapping[str, ElementTree.Element],
    colours: Mapping[str, str],
) -> ElementTree.Element | None:
    """The element without ids and namespaces; None for definitions and metadata."""
    name = _local(element.tag)
    if name in ("defs", "metadata", "style"):
        return None
    attributes = {
        _local(key): value
        for key, value in element.attrib.items()
        if _local(key) not in ("id", "clip-path", "style")
    }
    style = element.get("style", "")
    if name == "use":
        shape = shapes[attributes.pop("href").removeprefix("#")]
        name, attributes = "path", _placed(shape, attributes)
        style = f"{style}; {shape.get('style', '')}"
    if style:
        attributes["style"] = _with_page_style(style, colours)
    copy = ElementTree.Element(name, attributes)
    copy.text, copy.tail = element.text, element.tail
    copy.extend(child for old in element if (child := _copy(old, shapes, colours)) is not None)
    return copy


def _placed(shape: ElementTree.Element, place: Mapping[str, str]) -> dict[str, str]:
    x, y = place.get("x", "0"), place.get("y", "0")
    return {"d": " ".join(shape.get("d", "").split()), "transform": f"translate({x} {y})"}


def _with_page_style(style: str, colours: Mapping[str, str]) -> str:
    style = _FONT.sub("var(--font)", style)
    return _COLOUR.sub(
        lambda found: f"var(--{colours[found[0]]})" if found[0] in colours else found[0], style
    )


def _local(name: str) -> str:
    return name.rpartition("}")[2]
