import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from evalkit import escaping

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "\x1b\x9b\x07\x00\r\n\t\u202e\u2066\u200b\ufeff\u2028|`*_[]()<>@#:~\\$-+.!&"
        ),
    ),
    max_size=400,
)
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(HOSTILE, st.integers(1, 120))
def test_a_line_is_visible_text_within_its_limit(text, limit):
    shown = escaping.line(text, limit)
    assert len(shown) <= limit
    assert not {unicodedata.category(char) for char in shown} & INVISIBLE


@given(HOSTILE)
def test_lines_keep_nothing_invisible_but_line_breaks(text):
    shown = escaping.lines(text)
    assert not {unicodedata.category(char) for char in shown.replace("\n", "")} & INVISIBLE


@given(HOSTILE)
def test_markdown_has_no_live_markup(text):
    shown = escaping.markdown(text).replace("<!-- -->", "\0")
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", shown)  # what is escaped is dead
    assert not re.search(r"[`*_\[\]|~$<>]", bare)
    assert not re.search(r"[@#](?!\0)", shown)
    assert not re.search(r":\S", bare) or "\\" in text
    assert not re.match(r"[-+=>]|\d+[.)]", shown)
    assert "\n" not in shown


@given(HOSTILE)
def test_code_cannot_be_left(text):
    shown = escaping.code(text)
    if not shown:
        return
    fence = re.match("`+", shown).group()
    inside = shown[len(fence) : -len(fence)]
    assert shown.endswith(fence)
    assert fence not in [run for run in re.findall("`+", inside) if len(run) == len(fence)]
    assert not re.search(r"(?<!\\)\|", inside)


def test_escape_sequences_vanish_whole():
    assert escaping.line("\x1b[31mred\x1b[0m") == "red"
    assert escaping.line("\x1b]8;;http://evil\x07text\x1b]8;;\x07") == "text"
    assert escaping.line("\x9b2Jgone") == "gone"
    assert escaping.line("a\u202eb\u2066c") == "abc"
    assert escaping.line("two\nlines\tof  text") == "two lines of text"


def test_words_stay_as_they_are():
    assert escaping.line("Zoë paid 5 € – ✓ 日本") == "Zoë paid 5 € – ✓ 日本"
    assert escaping.markdown("the mean fell by 0.93") == "the mean fell by 0.93"


def test_what_is_too_long_is_cut_off_and_says_so():
    assert escaping.line("x" * 500, 10) == "x" * 9 + "…"
    assert escaping.line("x" * 10, 10) == "x" * 10
    assert len(escaping.lines("line\n" * 10_000, 100)) <= 100


def test_links_mentions_and_html_are_dead_in_markdown():
    shown = escaping.markdown("@team <script> [a](http://b) https://evil.example www.evil.example")
    assert "@team" not in shown
    assert "<script>" not in shown
    assert "http://" not in shown and "https://" not in shown
    assert "www.evil" not in shown
    assert "\\[a\\]" in shown


def test_shell_quotes_what_a_shell_would_act_on():
    assert escaping.shell("case-1") == "case-1"
    assert escaping.shell("a; rm -rf $HOME") == "'a; rm -rf $HOME'"
    assert "\n" not in escaping.shell("a\nb")
