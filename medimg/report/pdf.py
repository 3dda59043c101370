"""report.pdf: the same report on A4, drawn by ReportLab; no browser is needed.

Letters come from DejaVu Sans (in matplotlib; embedded) and, for Chinese, Japanese and Korean, from Adobe's font
STSong-Light, which PDF viewers bring themselves. The same report gives the same bytes.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import medimg
from medimg.report import catalogue, sections, wording
from medimg.results import Report

FONT, BOLD, CJK = "DejaVuSans", "DejaVuSans-Bold", "STSong-Light"

CJK_RUN = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]+")
"""Letters that DejaVu Sans does not have: CJK scripts, Hangul, and full-width punctuation."""

PAGE_MARGIN = 42.0
PICTURE_HEIGHT = 380.0
BODY, SMALL, TITLE, HEADING = 8.5, 7.0, 16.0, 11.0
LINE, SOFT, NOTICE = "#c8ced4", "#525c66", "#fff4d6"
"""Points and colours of the page, those of report.css."""

FINDINGS_A_TABLE = 5
"""Measurements of more findings go on in another table: more columns cannot be read."""

Row = Sequence[str]


def report_pdf(report: Report, picture: bytes | None, language: str = "en") -> bytes:
    """The PDF of `report`; picture: the preview as PNG bytes; language: one of `catalogue.LANGUAGES`."""
    from reportlab import rl_config
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    # binary streams: as text they are a quarter larger, and take longer to encode than all the rest
    rl_config.useA85 = 0
    _fonts()
    say = functools.partial(_say, language=language)
    buffer = io.BytesIO()
    title = say("title", pipeline=wording.pipeline_of(report.pipeline), n=len(report.findings))
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        title=title,
        author=f"medimg {medimg.__version__}",
        creator="medimg",
        lang=language,
        invariant=True,
        **dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), PAGE_MARGIN),
    )
    foot = _foot(title, say)
    document.build(list(_story(report, picture, say, document.width)), onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue()


def _say(key: str, language: str, **values: object) -> str:
    return catalogue.text(key, language, **values)


def _story(report: Report, picture: bytes | None, say: Callable[..., str], width: float) -> Any:
    document = report.to_dict("segmentation.nii.gz")
    rows = sections.findings(report, say)
    count = {0: "count_none", 1: "count_one"}.get(len(rows), "count")
    yield _text(say(count, n=len(rows)), TITLE, BOLD)
    yield _facts(sections.head(document, say), width)
    yield _notice(say("notice"), width)
    if report.warnings:
        yield _text(say("warnings"), HEADING, BOLD)
        yield from (_text(f"• {warning}") for warning in report.warnings)
    if picture is not None:
        yield _picture(picture, width)
        yield _text(say("still"), SMALL, colour=SOFT)
    yield _text(say("findings"), HEADING, BOLD)
    if rows:
        head = [say(key) for key in ("finding", "label", "position", "certainty", "diameter", "volume")]
        cells = [[one[key] for key in ("id", "label", "place", "certainty", "diameter", "volume")] for one in rows]
        yield _table([head, *cells], width, (2, 1.6, 3, 1.4, 1.6, 1.6))
        yield _text(say("certainty_note"), SMALL, colour=SOFT)
    else:
        yield _text(say("nothing"))
    yield from _labels(report, say, width)
    yield from _measured(document, rows, say, width)
    yield from _advice(document, say, width)
    for section in sections.extra(document):
        yield _text(section["heading"], HEADING, BOLD)
        yield _facts(section["facts"], width)
    yield from _scans(document, say, width)
    yield _text(say("provenance"), HEADING, BOLD)
    yield _facts(sections.made(document, say), width)


def _labels(report: Report, say: Callable[..., str], width: float) -> Any:
    rows = [[one["name"], one["value"], one["volume"]] for one in sections.labels(report, say)]
    if rows:
        yield _text(say("labels"), HEADING, BOLD)
        yield _table([[say("label"), say("value"), say("volume")], *rows], width / 2, (3, 1, 1.4))


def _measured(document: sections.Document, rows: list[dict[str, Any]], say: Callable[..., str], width: float) -> Any:
    groups, whole = sections.measured(document, say), sections.measured_of_case(document, say)
    if not groups and not whole:
        return
    yield _text(say("measurements"), HEADING, BOLD)
    if whole:
        head = [say("quantity"), say("whole_case"), say("source")]
        yield _table([head, *([one["name"], one["values"][0], one["source"]] for one in whole)], width, (3, 2, 4))
    for start in range(0, len(rows) if groups else 0, FINDINGS_A_TABLE):
        shown = slice(start, start + FINDINGS_A_TABLE)
        names = [one["id"] for one in rows[shown]]
        table: list[Row] = [[say("quantity"), *names, say("source")]]
        for heading, quantities in groups:
            if heading:
                table.append([heading, *[""] * (len(names) + 1)])
            table += [[one["name"], *one["values"][shown], one["source"]] for one in quantities]
        yield _table(table, width, (3, *[1.3] * len(names), 3.4))
    yield _text(say("missing_note"), SMALL, colour=SOFT)


def _advice(document: sections.Document, say: Callable[..., str], width: float) -> Any:
    entries = sections.advice(document, say)
    if not entries:
        return
    yield _text(say("advice"), HEADING, BOLD)
    yield _text(say("advice_note"), SMALL, colour=SOFT)
    keys = ("finding", "advice_rule", "advice_category", "advice_text", "advice_missing")
    rows = [[one[key] for key in ("finding", "rule", "category", "text", "missing")] for one in entries]
    yield _table([[say(key) for key in keys], *rows], width, (1.2, 1.5, 1.1, 4, 2))
    for one in entries:
        basis = "; ".join(f"{term} {value}".strip() for term, value in one["basis"])
        words = ". ".join(filter(None, (f"{say('advice_basis')}: {basis}" if basis else "", one["source"])))
        if words:
            yield _text(f"{one['finding']}, {one['rule']}. {words}", SMALL, colour=SOFT)


def _scans(document: sections.Document, say: Callable[..., str], width: float) -> Any:
    yield _text(say("scans"), HEADING, BOLD)
    if sections.why(document):
        yield _text(f"{say('chosen_because')} {sections.why(document)}")
    rows = [[one["role"], f"{one['what']}  {one['name']}", one["grid"], one["technique"]]
            for one in sections.scans(document, say)]  # fmt: skip
    yield _table([[say("role"), say("series"), say("grid"), say("acquired")], *rows], width, (0.8, 4, 2.4, 2.8))
    left = sections.not_chosen(document)
    if left:
        yield _text(say("not_chosen", n=len(left)), BODY, BOLD)
        rows = [[f"{one['what']}  {one['name']}", one["why"]] for one in left]
        yield _table([[say("series"), say("why")], *rows], width, (3, 2))


def _text(words: str, size: float = BODY, font: str = FONT, colour: str = "#1a1f24") -> Any:
    """A paragraph; other people's text is escaped, and CJK letters get a font that has them."""
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    before = size if size > BODY else 1.5
    style = ParagraphStyle(
        font, fontName=font, fontSize=size, leading=size * 1.35, textColor=colour, spaceBefore=before, spaceAfter=2.5,
        splitLongWords=1,
    )  # fmt: skip
    printable = "".join(letter if letter.isprintable() else " " for letter in words)
    return Paragraph(CJK_RUN.sub(lambda run: f'<font name="{CJK}">{run[0]}</font>', escape(printable)), style)


def _facts(facts: sections.Facts, width: float) -> Any:
    from reportlab.platypus import Table

    cells = [[_text(term, BODY, colour=SOFT), _text(value)] for term, value in facts] or [[_text(""), _text("")]]
    return Table(cells, colWidths=(width * 0.22, width * 0.78), style=_PLAIN, hAlign="LEFT", splitInRow=1)


def _table(rows: Sequence[Row], width: float, parts: Sequence[float]) -> Any:
    from reportlab.platypus import Table

    cells = [[_text(cell, SMALL, FONT if number else BOLD) for cell in row] for number, row in enumerate(rows)]
    widths = [width * part / sum(parts) for part in parts]
    rules = ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE)
    return Table(cells, colWidths=widths, style=[*_PLAIN, rules], repeatRows=1, hAlign="LEFT", splitInRow=1)


_PLAIN = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 0),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
]


def _notice(words: str, width: float) -> Any:
    from reportlab.platypus import Table

    return Table([[_text(words)]], colWidths=(width,), style=[("BACKGROUND", (0, 0), (-1, -1), NOTICE)])


def _picture(png: bytes, width: float) -> Any:
    from reportlab.lib.utils import ImageReader
    from reportlab.platypus import Image

    across, down = ImageReader(io.BytesIO(png)).getSize()
    scale = min(width / across, PICTURE_HEIGHT / down)
    return Image(io.BytesIO(png), across * scale, down * scale, hAlign="LEFT")


def _foot(title: str, say: Callable[..., str]) -> Callable[[Any, Any], None]:
    def draw(canvas: Any, document: Any) -> None:
        paragraph = _text(f"{say('notice')}   {title}   {canvas.getPageNumber()}", SMALL, colour=SOFT)
        paragraph.wrapOn(canvas, document.width, PAGE_MARGIN)
        paragraph.drawOn(canvas, document.leftMargin, PAGE_MARGIN / 2)

    return draw


def _fonts() -> None:
    """Register the fonts once."""
    import matplotlib
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    known = set(pdfmetrics.getRegisteredFontNames())
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in {FONT, BOLD} - known:
        pdfmetrics.registerFont(TTFont(name, folder / f"{name}.ttf"))
    if CJK not in known:
        pdfmetrics.registerFont(UnicodeCIDFont(CJK))
