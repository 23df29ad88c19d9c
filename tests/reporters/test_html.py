"""The page as a file: its policy, and islands that are compressed where they are large."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re

from evalkit.reporters import html
from evalkit.reporters.html.islands import LARGE, pack

OVERVIEW = {"suite": "a <b>", "headline": "it's & all", "routes": []}


def test_the_policy_allows_only_this_script_and_this_style():
    page = html.render(OVERVIEW, [])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=|https?://(?!www\.w3\.org/2000/svg)", page)


def test_the_script_sets_text_and_never_markup():
    page = html.render(OVERVIEW, [])
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "fetch("):
        assert word not in script


def test_title_is_text():
    page = html.render(OVERVIEW, [])
    assert "<title>it&#x27;s &amp; all · a &lt;b&gt;</title>" in page


def test_large_data_is_compressed_and_reads_back():
    details = [{"text": f"{at} " + "word " * 4000} for at in range(80)]
    assert sum(len(one["text"]) for one in details) > LARGE
    page = html.render(OVERVIEW, details)
    assert len(page) < LARGE
    packed = re.findall(r'data-packed="gzip" id="([^"]+)">([^<]*)<', page)
    assert [name for name, _ in packed][:2] == ["overview", "pack-0"]
    read = [json.loads(gzip.decompress(base64.b64decode(text))) for _, text in packed]
    assert [one for part in read[1:] for one in part] == details
    starts = read[0]["packs"]
    assert starts == [at for at, _ in pack(details)]
    assert [read[1 + n][0] for n in range(len(starts))] == [details[at] for at in starts]
