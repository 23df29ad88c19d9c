from evalkit import console


def test_text_is_plain_unless_colour_is_asked_for():
    from rich.text import Text

    text = Text("[bold]a[/bold] :smile:", style="red")
    assert console.to_text(text, width=40) == "[bold]a[/bold] :smile:\n"
    assert "\x1b[" in console.to_text(text, width=40, color=True)


def test_fits_measures_the_whole_table():
    from rich.text import Text

    made = console.table("one", "two", right={"two"})
    made.add_row(Text("x" * 30), Text("1"))
    assert not console.fits(made, 30)
    assert console.fits(made, 40)
    assert all(len(line) <= 20 for line in console.to_text(made, width=20).splitlines())
