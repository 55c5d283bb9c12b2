"""Text that others wrote, on each medium: shown, and nothing else."""

import pytest

from ire.foreign_text import in_html, in_markdown, in_one_line, in_spreadsheet, visible, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]8;;http://x\x07click", r"\x1b]8;;http://x\x07click"),
        ("back\x08space \x9b31m", r"back\x08space \x9b31m"),
        ("one\r\ntwo\rthree\tfour", "one\ntwo\\x0dthree\tfour"),
        ("abc\u202etxt.exe", r"abc\u202etxt.exe"),
        ("half \ud800 a character", r"half \ud800 a character"),
        ("κ = 1.0 ± 0.5 ≥ ß 漢字 👍", "κ = 1.0 ± 0.5 ≥ ß 漢字 👍"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text, shown):
    assert visible(text) == shown
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://AKIA:SEC@bucket/x?region=eu", "s3://***@bucket/x?region=eu"),
        ("s3://AKIA:SEC/RET+@bucket/x", "s3://***@bucket/x"),
        ("('s3://AKIA:SEC@b/x' cannot be read)", "('s3://***@b/x' cannot be read)"),
        ("https://TOKEN@host/x", "https://***@host/x"),
        ("http://TOKEN@proxy:3128", "http://***@proxy:3128"),
        ("abfs://c@a/x?sig=SEC&sv=2", "abfs://c@a/x?sig=***&sv=2"),
        ("s3://b?secret_key=SEC&access_key=K", "s3://b?secret_key=***&access_key=***"),
        ("s3://b/x?endpoint_override=http://h:9000&scheme=http", None),
        ("http://h:9000/a@b", None),
        ("lr:0.1 me@home, see s3://bucket/a@b", None),
    ],
)
def test_secrets_in_uris_are_hidden_and_nothing_else(text, shown):
    assert without_secrets(text) == (shown or text)


@pytest.mark.parametrize("show", [visible, in_one_line, in_markdown, in_html, in_spreadsheet])
def test_no_medium_shows_a_secret_or_a_control(show):
    shown = show("\x1b[2J s3://AKIA:SEC@bucket")
    assert "SEC" not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&#60;script>alert(1)&#60;/script>"),
        ("![x](http://evil) [y](z) [a][b]", "![x]&#40;http://evil) [y]&#40;z) [a]&#91;b]"),
        ("a | b \\| c", "a &#124; b \\&#124; c"),
        ("one\n\n# two\n", "one # two"),
        ("0.74 [0.58, 1.23], ≤0.50, `ire resume x --curve`", None),
    ],
)
def test_markdown_holds_no_tag_no_link_no_other_cell_and_no_other_line(text, shown):
    assert in_markdown(text) == (shown or text)


def test_html_is_escaped_in_attributes_too():
    assert in_html("<b a='1'>\"&") == "&lt;b a=&#x27;1&#x27;&gt;&quot;&amp;"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@x", "\t=1"])
def test_a_spreadsheet_computes_no_text(text):
    assert in_spreadsheet(text) == f"'{text}"


@pytest.mark.parametrize("cell", [-1.5, None, True, "sgd-0000", "a = b"])
def test_numbers_and_harmless_texts_stay_as_they_are_in_a_spreadsheet(cell):
    assert in_spreadsheet(cell) is cell or in_spreadsheet(cell) == cell
