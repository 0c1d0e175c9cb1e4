"""What makes a row unusable, said in one message: file, row, column, expected, found, and what to do."""

from __future__ import annotations

from compliance_xai.errors import InputError


def decode(content: bytes, where: str) -> str:
    """The text of a UTF-8 file; a byte-order mark at its head is left out.

    Raises
    ------
    InputError
        Naming the offset and the line of the first byte that is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte-order mark, the reader's editor from the head of the file.
        offset = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        line = content.count(b"\n", 0, offset) + 1
        raise InputError(
            f"{where}, byte offset {offset} (line {line})",
            expected="UTF-8 text",
            found=f"the byte 0x{content[offset]:02x}",
            remedy="Save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8').",
        ) from None
