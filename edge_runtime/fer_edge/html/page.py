"""Self-contained HTML reports: no scripts, no network, light and dark mode."""

import base64
import string
from collections.abc import Iterable
from html import escape
from pathlib import Path

import cv2
import numpy as np

from fer_edge.imaging.images import Pixels, bgr_of, encode_picture

TEMPLATE = Path(__file__).with_name("page.html")
FACE_SIDE = 112
"""Side of a face in a grid, in pixels."""


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
    anchor = title.split(" ")[0].lower()
    return f"<section class='{kind}' id='{escape(anchor)}'><h2>{escape(title)}</h2>{content}</section>"


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


def tiles(figures: Iterable[tuple[str, ...]]) -> str:
    """Return tiles of a value, its label and, optionally, a class of page.css: passed or failed."""
    return "".join(
        f"<div class='tile {''.join(kind)}'><b>{escape(value)}</b><span>{escape(label)}</span></div>"
        for value, label, *kind in figures
    )


def face_grid(faces: Iterable[tuple[Pixels, Iterable[str]]]) -> str:
    """Return a grid of faces, (side, side) uint8 grey or (side, side, 3) uint8 RGB, each with lines below it."""
    figures = []
    for face, lines in faces:
        drawn = cv2.resize(bgr_of(face), (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_LINEAR)
        caption = "<br>".join(escape(line) for line in lines)
        image = f"<img src='{as_jpeg(np.asarray(drawn, np.uint8))}' alt=''>"
        figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return f"<div class='faces'>{''.join(figures)}</div>"


def details(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list of names and values, such as date and data set."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs) + "</dl>"


def data_address(content: bytes, kind: str) -> str:
    """Return a file as a `data:` URL; `kind` is its MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def as_jpeg(frame_bgr: Pixels) -> str:
    """Return an image, colour or grey, as a `data:` URL."""
    return data_address(encode_picture(frame_bgr, ".jpg"), "image/jpeg")
