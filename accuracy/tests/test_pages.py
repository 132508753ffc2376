"""Does a report read the same as Markdown, as a page and on a terminal?"""

from accuracy.pages import Block, Heading, Picture, Table, Text, markdown, page, plain

BLOCKS: list[Block] = [
    Heading("A < B"),
    Text("50 % & more"),
    Table(("name", "value", "note"), (("a|b", "FAILS", "x"), ("c", "1.5", "")), remarks=1),
    Picture("A curve", "curve.svg", "<svg></svg>"),
]


def test_markdown() -> None:
    """Numbers stand to the right, a bar in a cell does not end it, and a picture is a file beside."""
    assert (
        "# Title\n\n## A < B\n\n50 % & more\n\n| name | value | note |\n| --- | --: | --- |\n| a\\|b | FAILS | x |\n| c | 1.5 |  |\n\n"
        "![A curve](curve.svg)\n"
    ) == markdown("Title", BLOCKS)


def test_a_page_stands_alone() -> None:
    """Text is escaped, pictures are inside, what fails is marked, and nothing is fetched."""
    text = page("Title", BLOCKS)

    assert "<h2>A &lt; B</h2><p>50 % &amp; more</p>" in text
    assert '<td class="n bad">FAILS</td><td>x</td>' in text
    assert "<figure><svg></svg><figcaption>A curve</figcaption></figure>" in text
    assert not [word for word in ("http", "src=", "href=") if word in text]


def test_lines_for_a_terminal() -> None:
    """Columns are as wide as their widest cell."""
    table = Table(("name", "value"), (("a", "10.5"), ("bcdef", "1")))

    assert ["name   value", "a       10.5", "bcdef      1"] == plain(table)
