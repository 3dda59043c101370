"""Text in headers: character sets, and descriptions that would be a path, a command or a line of their own."""

from __future__ import annotations

from conformance.cases.case import Expected, Theme, volumes
from conformance.cases.phantom import Phantom, line, put

cases = Theme("text")

CHARACTER_SETS = {
    "latin_1": ("ISO_IR 100", "Schädel nativ", "Änne^Müller"),
    "cyrillic": ("ISO_IR 144", "Голова", "Иванов^Пётр"),
    "japanese_ISO_2022": (["", "ISO 2022 IR 87"], "頭部 CT", "Yamada^Tarou=山田^太郎"),
    "korean_ISO_2022": (["", "ISO 2022 IR 149"], "두부", "Hong^Gildong=洪^吉洞=홍^길동"),
    "chinese_GB18030": ("GB18030", "胸部平扫", "王^小东"),
    "chinese_GBK": ("GBK", "胸部平扫", "王^小东"),
    "utf_8": ("ISO_IR 192", "頭 Schädel Голова", "Wang^XiaoDong=王^小东"),
}


@cases.each(**CHARACTER_SETS)
def character_set(scan: Phantom, how) -> Expected:
    """Names and descriptions in another script."""
    charset, description, name = how
    scan.slices(line(6), edit=put(SpecificCharacterSet=charset, SeriesDescription=description, PatientName=name))
    return volumes(6)


WRONG = {
    "GBK_bytes_called_latin_1": ("ISO_IR 100", "胸部平扫".encode("gbk")),
    "utf_8_bytes_called_nothing": (None, "Schädel".encode()),
    "latin_1_bytes_called_utf_8": ("ISO_IR 192", "Schädel".encode("latin-1")),
    "unknown_set": ("ISO_IR 999", b"Head"),
    "escape_of_another_set": (["", "ISO 2022 IR 149"], b"\x1b$BF,It\x1b(B"),
}


@cases.each(**WRONG)
def character_set_is_wrong(scan: Phantom, how) -> Expected:
    """The bytes of the description are not of the set that the header names."""
    charset, data = how

    def edit(dataset, _number):
        if charset is not None:
            dataset["SpecificCharacterSet"] = put_raw("SpecificCharacterSet", "CS", charset)
        dataset["SeriesDescription"] = put_raw("SeriesDescription", "LO", data)

    scan.slices(line(6), edit=edit)
    return volumes(6)


def put_raw(keyword: str, vr: str, value):
    """An element whose bytes are written as they are."""
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    data = value if isinstance(value, bytes) else "\\".join([value] if isinstance(value, str) else value).encode()
    data += b" " * (len(data) % 2)
    return RawDataElement(Tag(keyword), vr, len(data), data, 0, False, True)


DESCRIPTIONS = {
    "a_path_upwards": "../../../etc/passwd",
    "an_absolute_path": "/etc/cron.d/medimg",
    "a_path_of_another_system": "..\\..\\windows\\system32",
    "NUL_inside": "head\0/../../x",
    "a_line_break": "head\nneck\r\n",
    "300_characters": "x" * 300,
    "terminal_escapes": "\x1b[31mred\x1b[0m\x07",
    "markup": "<script>alert(1)</script>&amp;",
    "format_fields": "%s%n{0}{self.__class__}$(reboot)`id`",
    "dots": "..",
    "blank": "   ",
    "a_reserved_name": "CON",
    "an_option": "--output=/tmp/x",
}


@cases.each(**DESCRIPTIONS)
def description_is(scan: Phantom, text: str) -> Expected:
    """A series description that would be something else where it is used unchecked."""

    def edit(dataset, _number):
        dataset["SeriesDescription"] = put_raw("SeriesDescription", "LO", text.encode())

    scan.slices(line(6), edit=edit)
    return volumes(6)


@cases.case
def uid_is_a_path(scan: Phantom) -> Expected:
    """The Series Instance UID is a path upwards."""
    scan.slices(line(6), series="../../2.25.7/../x")
    return volumes(6)


@cases.case
def uid_padded_differently(scan: Phantom) -> Expected:
    """Every second file pads its UIDs with a blank where the others have a NUL."""

    def edit(dataset, number):
        if number % 2:
            for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
                dataset[keyword] = put_raw(keyword, "UI", f"{dataset[keyword].value} ".encode())

    scan.slices(line(6), edit=edit)
    return volumes(6)
