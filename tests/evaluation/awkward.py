"""Names that a markup, a file or a screen takes for something else."""

NAMES = (
    "$x$ costs $5",
    r"$\frac{$",
    "a_b^c %{}#&~",
    "back\\slash",
    "_hidden",
    "[bold]x[/x]",
    "<b>&amp;</b>",
    "<script>alert(\"1\")</script> & 'ß'",
    ":smile: {{ 7 }} {% x %}",
    'id="x" url(#y) #000000',
    "",
    "   ",
    "two\nlines\ttab\r",
    "\x00bell\x07 \x1b[31m red",
    "lone \udcff surrogate",
    "שלום مرحبا \u202eturned",
    "n" * 5000,
    "W" * 5000,
    "猫" * 5000,
)
