"""What pictures are made of: SVG that needs nothing besides itself, on a light or a dark page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

_STYLE = """\
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.page { fill: #ffffff }
.title { font-size: 22px; font-weight: 600 }
.panel { font-size: 15px; font-weight: 600 }
.quiet { font-size: 12px; fill: #59636e; font-weight: 400 }
.value { font-size: 11.5px; text-anchor: middle }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round }
.size { font-size: 12px; text-anchor: middle; fill: #59636e }
.tick { font-size: 11px; text-anchor: end; fill: #59636e }
.grid { stroke: #d8dee4; stroke-width: 1 }
.base { stroke: #8c959f; stroke-width: 1 }
.range { stroke: #1f2328; stroke-width: 1.2; stroke-opacity: 0.65 }
"""

_DARK = """\
text { fill: #e6edf3 }
.page { fill: #0d1117 }
.value { stroke: #0d1117 }
.quiet, .size, .tick { fill: #9198a1 }
.grid { stroke: #262c36 }
.base { stroke: #6e7681 }
.range { stroke: #e6edf3 }
"""


def head(
    width: int, height: int, title: str, description: str, colours: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    """Return the first lines of a document; ``</svg>`` is still to come.

    ``colours`` gives each class its fill, on a light page and on a dark one.
    """
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    light = "".join(f".{key} {{ fill: {colour} }}\n" for key, (colour, _) in colours.items())
    dark = "".join(f".{key} {{ fill: {colour} }}\n" for key, (_, colour) in colours.items())
    media = f"@media (prefers-color-scheme: dark) {{\n{_DARK}{dark}}}\n"
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    yield f"<title>{escape(title)}</title>"
    yield f"<desc>{escape(description)}</desc>"
    yield f"<style>\n{_STYLE}{light}{media}</style>"
    yield f'<rect class="page" width="{width}" height="{height}"/>'


def text(x: float, y: float, style: str, content: str) -> str:
    """Return a line of text that begins, ends or is centred at ``x``, as its style says."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'
