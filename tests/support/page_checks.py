"""What has to hold of a page as a browser shows it: each check returns the problems that it found, as sentences.

Most of it is asked in the page (`page_checks.js`); the contrast is measured in a picture of it.
"""

from pathlib import Path

import numpy as np
from places import HELPERS

PROGRAM = (HELPERS / "page_checks.js").read_text(encoding="utf-8")
CONTRAST = 4.5  # WCAG 2.2, 1.4.3, for text of any size
CROSSED = 0.15  # of the pixels behind a text may be of something that crosses it, such as a line of a grid
BRIGHT, DARK = 0.7, 0.2  # luminance from which on a page is light, up to which it is dark
MOST_BRIGHT = 0.25  # of a dark page, for pictures that are light by themselves
OPEN_DETAILS = "document.querySelectorAll('details').forEach(each => { each.open = true; })"

# A style of the page itself could be forbidden by its policy. `color` is left as it is: borders and shapes follow it.
HIDE_TEXT = """
const sheet = new CSSStyleSheet();
sheet.replaceSync(`* { -webkit-text-fill-color: transparent !important; text-decoration-color: transparent !important;
  text-shadow: none !important; } svg text, svg text * { fill: transparent !important; stroke: none !important; }
  ::marker { color: transparent !important; }`);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
"""
SHOW_TEXT = "document.adoptedStyleSheets = document.adoptedStyleSheets.slice(0, -1)"


def problems(page, path, width=1280, scheme="light", media="screen"):
    """Open a page with a look, and return all that is wrong with it, each problem with the check that found it.

    Args:
        page: of the browser, see `chromium.Page`.
        path: of the file.
        width, scheme, media: see `chromium.Page.look`.
    """
    page.look(width=width, scheme=scheme, media=media)
    page.open(path)
    if media == "screen":  # on paper nobody can open anything
        page.evaluate(OPEN_DETAILS)
    page.settle()
    found = page.evaluate(PROGRAM)
    texts = found.pop("texts")
    backdrop = _without_text(page)
    found["contrast"] = contrast(texts, backdrop)
    found["colours"] = colours(backdrop, "light" if media == "print" else scheme)
    found["pictures"] += unnamed(page)
    found["console"] = page.messages()
    found["requests"] = requests(page, path)
    return [f"{check}: {problem}" for check, several in found.items() for problem in dict.fromkeys(several)]


def _without_text(page):
    """Return a picture of the page with everything but its texts: (height, width, 3), sRGB from 0 to 255."""
    page.evaluate(HIDE_TEXT)
    page.settle()
    try:
        return page.picture()
    finally:
        page.evaluate(SHOW_TEXT)


def requests(page, path):
    """Return what the page has asked for besides itself and what it contains."""
    own = Path(path).absolute().as_uri()
    return [address for address in page.requests() if address != own and not address.startswith("data:")]


def unnamed(page):
    """Return the pictures that the browser itself has no name for, in what it hands to a screen reader."""
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    pictures = [node for node in nodes if node.get("role", {}).get("value") in ("image", "img") and not node["ignored"]]
    nameless = [node for node in pictures if not node.get("name", {}).get("value", "").strip()]
    return [f"a screen reader has no name for {len(nameless)} of {len(pictures)} pictures"] if nameless else []


def contrast(texts, backdrop):
    """Return the texts that stand out too little from what is behind them.

    Args:
        texts: with `colour` (red, green, blue), `alpha` and `boxes` (left, top, right, bottom in pixels of the page).
        backdrop: the page without its texts: (height, width, 3).
    """
    found = []
    for each in texts:
        for left, top, right, bottom in each["boxes"]:
            behind = backdrop[max(top, 0) : bottom, max(left, 0) : right].reshape(-1, 3)
            if len(behind) == 0:
                continue
            packed, counts = np.unique(
                behind @ [65536, 256, 1], return_counts=True
            )  # as rows it takes ten times as long
            shades = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1)
            ratios = ratio(np.array(each["colour"]) * each["alpha"] + shades * (1 - each["alpha"]), shades)
            order = np.argsort(ratios)
            lowest = ratios[order][np.searchsorted(np.cumsum(counts[order]), CROSSED * counts.sum())]
            if lowest < CONTRAST:
                found.append(f'"{each["text"]}" in {each["where"]} has a contrast of {lowest:.2f}')
                break
    return found


def ratio(one, other):
    """Return the contrast of colours with others, 1 to 21, by WCAG 2.2; both (n, 3), sRGB from 0 to 255."""
    first, second = luminance(one), luminance(other)
    return (np.maximum(first, second) + 0.05) / (np.minimum(first, second) + 0.05)


def luminance(colours):
    """Return the relative luminance of colours (..., 3), sRGB from 0 to 255, as WCAG 2.2 defines it: 0 to 1."""
    share = np.asarray(colours, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def colours(picture, scheme):
    """Return whether a page is not as light or dark as the reader prefers, and whether a dark one has light areas.

    Args:
        picture: (height, width, 3), sRGB from 0 to 255.
        scheme: `light` or `dark`.
    """
    table = luminance(np.stack([np.arange(256)] * 3, axis=-1))  # of greys, for speed: a page is large
    bright = table[picture[::2, ::2]] @ [0.2126, 0.7152, 0.0722]
    typical = np.median(bright)
    if scheme == "light":
        return [f"a light page has a luminance of {typical:.2f}"] if typical < BRIGHT else []
    found = [f"a dark page has a luminance of {typical:.2f}"] if typical > DARK else []
    share = (bright > BRIGHT).mean()
    return found + ([f"{share:.0%} of a dark page are bright"] if share > MOST_BRIGHT else [])
