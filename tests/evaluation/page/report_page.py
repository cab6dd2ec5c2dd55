"""A page taken apart: its tables, pictures and text, as a reader's browser would find them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "wbr", "img"}


@dataclass
class Element:
    tag: str
    attributes: dict = field(default_factory=dict)
    children: list = field(default_factory=list)

    @property
    def text(self):
        """What is read, without what is only seen; one space where there are many."""
        if self.tag == "style" or self.attributes.get("aria-hidden") == "true":
            return ""
        parts = [c if isinstance(c, str) else c.text for c in self.children]
        return " ".join("".join(parts).replace("\xa0", " ").split())

    def all(self, tag, **attributes):
        """Elements below, in order; `class_` stands for class."""
        wanted = {name.strip("_").replace("_", "-"): v for name, v in attributes.items()}
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            if child.tag == tag and all(child.attributes.get(n) == v for n, v in wanted.items()):
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def one(self, tag, **attributes):
        (found,) = self.all(tag, **attributes)
        return found


class _Builder(HTMLParser):
    def __init__(self):
        super().__init__()
        self.root = Element("")
        self.open = [self.root]

    def handle_starttag(self, tag, attributes):
        element = Element(tag, dict(attributes))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parse(page):
    """The root, after all elements were closed in order."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert len(builder.open) == 1, f"never closed: {[e.tag for e in builder.open[1:]]}"
    return builder.root


def section(root, name):
    """The part of the page below the heading of that name."""
    return root.one("section", aria_labelledby=name)


def table(root, caption):
    """Cells as read out, by row and column: {"neumf": {"NDCG@10": "★ 0.4000", …}}.

    Rows of the same name come as a list.
    """
    (found,) = [t for t in root.all("table") if t.one("caption").text == caption]
    head = [th.text for th in found.one("thead").all("th", scope="col")]
    rows = {}
    for row in found.one("tbody").all("tr"):
        name = row.one("th", scope="row")
        cells = [cell.text for cell in row.all("td")]
        assert len(cells) == len(head) - 1
        key = "".join(part for part in name.children if isinstance(part, str)).strip()
        rows.setdefault(key, []).append(dict(zip(head[1:], cells, strict=True)))
    return {name: found[0] if len(found) == 1 else found for name, found in rows.items()}
