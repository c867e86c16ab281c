"""Self-contained HTML reports: no scripts, no network, light and dark mode."""

import base64
import string
from collections.abc import Iterable
from html import escape
from pathlib import Path

from fer_edge.imaging.images import Pixels, encode_picture

TEMPLATE = Path(__file__).with_name("page.html")


def style() -> str:
    """Return the style sheet of all pages."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def report_page(title: str, subtitle: str, figures: str, sections: Iterable[str], footer: str) -> bytes:
    """Return a report page.

    Args:
        title: Plain text.
        subtitle: Plain text.
        figures: HTML of `tiles`.
        sections: HTML of `section`, one for each.
        footer: Plain text.
    """
    page = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=style(),
        subtitle=escape(subtitle),
        tiles=figures,
        sections="\n".join(sections),
        footer=escape(footer),
    )
    return page.encode(errors="replace")  # file names may be invalid UTF-8


def section(title: str, content: str, kind: str = "") -> str:
    """Return a section; `content` is HTML, `kind` a class of page.css such as note."""
    return f"<section class='{kind}'><h2>{escape(title)}</h2>{content}</section>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list; every line is escaped."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; every cell is escaped."""
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return f"<div class='wide'><table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table></div>"


def command_line(command: str) -> str:
    """Return a command that wraps between words only, not at the hyphens of options."""
    return f"<pre>{' '.join(f'<span>{escape(word)}</span>' for word in command.split(' '))}</pre>"


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Return tiles of a value and its label."""
    return "".join(f"<div class='tile'><b>{escape(b)}</b><span>{escape(text)}</span></div>" for b, text in figures)


def data_address(content: bytes, kind: str) -> str:
    """Return a file as a `data:` URL; `kind` is its MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def as_jpeg(frame_bgr: Pixels) -> str:
    """Return an image, colour or grey, as a `data:` URL."""
    return data_address(encode_picture(frame_bgr, ".jpg"), "image/jpeg")
