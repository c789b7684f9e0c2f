"""The client against a local server that speaks LanguageTool's protocol, in health and in sickness."""

import json
import math
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from eclectus.errors import ConfigError, RunError
from eclectus.rewards import languagetool
from eclectus.rewards.languagetool import LanguageTool
from eclectus.segment import Segment

LANGUAGES = [
    {"name": "English", "code": "en", "longCode": "en"},
    {"name": "English (GB)", "code": "en", "longCode": "en-GB"},
    {"name": "English (US)", "code": "en", "longCode": "en-US"},
    {"name": "Spanish", "code": "es", "longCode": "es"},
    {"name": "Portuguese (Portugal)", "code": "pt", "longCode": "pt-PT"},
    {"name": "Catalan (Valencian)", "code": "ca", "longCode": "ca-ES-valencia"},
]


class Handler(BaseHTTPRequestHandler):
    """Finds every `server.word` in a text; what stands in `server.troubles` comes before that, once each."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer(200, json.dumps(self.server.languages) if self.path == "/v2/languages" else "nothing here")

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        form = {key: values[0] for key, values in parse_qs(self.rfile.read(length).decode("ascii")).items()}
        with self.server.lock:
            self.server.asked.append(form)
            self.server.busy += 1
            self.server.most_busy = max(self.server.most_busy, self.server.busy)
            trouble = self.server.troubles.pop(0) if self.server.troubles else self.server.always
        try:
            self.reply(form, trouble)
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def reply(self, form, trouble):
        if trouble == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if trouble == "slow":
            time.sleep(0.6)
        if trouble == "busy":
            time.sleep(0.05)
        if trouble in (429, 500, 413):
            return self.answer(trouble, "out of order")
        if trouble == "text":
            return self.answer(200, "<html>")
        if trouble == "other":
            return self.answer(200, '{"matches": [{"message": "no place"}]}')
        utf16, word = form["text"].encode("utf-16-le"), self.server.word.encode("utf-16-le")
        places = [i // 2 for i in range(0, len(utf16), 2) if utf16[i : i + len(word)] == word]
        matches = [{"message": "wrong", "offset": i, "length": len(word) // 2} for i in places]
        self.answer(200, json.dumps({"software": {"name": "LanguageTool"}, "matches": matches}))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode("utf-8"))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(languagetool, "_PAUSE", 0.01)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.handle_error = lambda *_: None  # a client that gave up is part of the test
    httpd.asked, httpd.troubles, httpd.always, httpd.word = [], [], None, "xx"
    httpd.languages, httpd.lock, httpd.busy, httpd.most_busy = LANGUAGES, threading.Lock(), 0, 0
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def build(server, **options):
    return LanguageTool(LanguageTool.Options(url=server.url, **options))


def judge(reward, texts, language="es"):
    return reward([Segment("", "fr", language)] * len(texts), texts)


def test_the_value_is_exponential_in_errors_a_word(server):
    values = judge(build(server), ["uno dos tres cuatro", "uno xx tres cuatro", "xx xx"])
    assert values == pytest.approx([1.0, math.exp(-5 / 4), math.exp(-5)])
    assert judge(build(server, weight=1), ["uno xx tres cuatro"]) == pytest.approx([math.exp(-1 / 4)])


def test_each_text_goes_alone_and_once(server):
    reward = build(server, disabled_categories=["CASING", "TYPOGRAPHY"])
    assert judge(reward, ["uno", "dos", "uno", "ñandú & más=sí"]) == [1.0] * 4
    assert judge(reward, ["dos", "tres"]) == [1.0, 1.0]
    assert Counter(form["text"] for form in server.asked) == Counter(["uno", "dos", "tres", "ñandú & más=sí"])
    assert {form["language"] for form in server.asked} == {"es"}
    assert {form["disabledCategories"] for form in server.asked} == {"CASING,TYPOGRAPHY"}
    assert reward.signature == "languagetool|weight:5|without:CASING|without:TYPOGRAPHY"


def test_errors_in_placeholders_and_links_are_none(server):
    texts = ["uno %(xx)s dos", "uno <xx> https://xx.org xx", "😀😀😀😀😀 %(xx)s xx uno"]  # the server counts in UTF-16
    assert judge(build(server), texts) == pytest.approx([1.0, math.exp(-5 / 2), math.exp(-5 / 2)])


def test_the_servers_code_for_a_tag(server):
    reward = build(server, language={"gl": "es"})
    assert [reward._code(tag) for tag in ("en", "en-GB", "en-NZ", "es", "es-MX", "pt-BR", "pt", "ca", "gl", "fr")] == [
        "en-US", "en-GB", "en-US", "es", "es", "pt-PT", "pt-PT", "ca-ES-valencia", "es", None,
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="does not know 'gl-ES', given for 'gl'"):
        build(server, language={"gl": "gl-ES"})


def test_abstains_in_unknown_languages_and_without_words(server):
    reward = build(server)
    assert judge(reward, ["un chat noir"], "fr") == [None]
    assert judge(reward, ["", "  ", "...", "%s", "😀"]) == [None] * 5
    assert not server.asked
    assert judge(reward, ["\ud800 uno", "uno\x00dos"]) == [1.0, 1.0]
    assert reward([], []) == []


@pytest.mark.parametrize("trouble", [500, 429, "drop", "slow", "text"])
def test_what_fails_once_is_asked_again(server, trouble):
    reward = build(server, timeout=0.3)
    server.troubles = [trouble]
    assert judge(reward, ["uno xx"]) == pytest.approx([math.exp(-5 / 2)])
    assert len(server.asked) == 2
    assert reward.failures == 0


@pytest.mark.parametrize(
    ("trouble", "requests"), [(500, 3), ("drop", 3), ("slow", 3), ("text", 3), (413, 1), ("other", 1)]
)
def test_what_goes_on_failing_is_counted_and_warned_of(server, trouble, requests, caplog):
    reward = build(server, timeout=0.1, workers=1)
    server.always = trouble
    assert judge(reward, ["uno"]) == [None]
    assert len(server.asked) == requests
    assert reward.failures == 1
    assert "failed on 1 of 1 texts" in caplog.text
    server.always = None
    assert judge(reward, ["uno"]) == [1.0]  # a failure is not remembered


def test_a_failure_stops_the_run_where_told(server):
    reward = build(server, on_failure="stop", attempts=2)
    server.always = 500
    with pytest.raises(RunError, match=r"failed on 1 of 1 texts \(HTTP status 500\)"):
        judge(reward, ["uno"])
    assert len(server.asked) == 2


def test_a_dead_server_is_not_asked_about_every_text(server):
    reward = build(server, attempts=2, workers=2)
    server.always = "drop"
    assert judge(reward, [f"texto {i}" for i in range(50)]) == [None] * 50
    assert len(server.asked) <= 8
    assert reward.failures == 50


def test_several_requests_at_a_time_and_no_more(server):
    reward = build(server, workers=3)
    server.always = "busy"
    assert judge(reward, [f"texto {i}" for i in range(12)]) == [1.0] * 12
    assert server.most_busy == 3


def test_the_door(server):
    with pytest.raises(ConfigError, match="write it as http://"):
        LanguageTool(LanguageTool.Options(url="localhost:8081"))
    server.languages = {"error": "another service"}
    with pytest.raises(RunError, match=r"no LanguageTool server at .* \(an answer that is no list of languages\)"):
        build(server)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RunError, match=r"no LanguageTool server at .*; start one, or change 'url'"):
        LanguageTool(LanguageTool.Options(url=url))


def test_several_texts_in_one_request(server):
    texts = ["uno xx 😀", "dos %(xx)s", "xx %(xx)s tres xx", "cuatro", "cinco xx"]
    alone, together = build(server), build(server, batch=3)
    expected = [math.exp(-5 / 2), 1, math.exp(-10 / 3), 1, math.exp(-5 / 2)]
    assert judge(together, texts) == judge(alone, texts) == pytest.approx(expected)
    # Neighbours, such as the samples of a source, are apart.
    assert {form["text"] for form in server.asked[:2]} == {
        "uno xx 😀\n\nxx %(xx)s tres xx\n\ncinco xx",
        "dos %(xx)s\n\ncuatro",
    }
    assert len(server.asked) == 2 + 5
    assert together.signature == "languagetool|weight:5|batch:3"
    assert judge(together, ["cuatro", "seis"]) == [1.0, 1.0]
    assert server.asked[-1]["text"] == "seis"
    together.reset()
    judge(together, ["cuatro", "seis"])
    assert server.asked[-1]["text"] == "cuatro\n\nseis"


def test_a_match_across_two_texts_counts_for_neither(server):
    server.word = "x\n\nx"
    assert judge(build(server, batch=2), ["uno x", "x dos"]) == [1.0, 1.0]
    server.word = "x"
    assert judge(build(server, batch=2), ["uno x", "x dos"]) == pytest.approx([math.exp(-5 / 2)] * 2)


def test_languages_are_not_mixed_in_a_request(server):
    reward = build(server, batch=8)
    segments = [Segment("", "fr", tag) for tag in ("es", "en", "es", "fr")]
    assert reward(segments, ["uno", "one", "dos", "un"]) == [1.0, 1.0, 1.0, None]
    assert {(form["language"], form["text"]) for form in server.asked} == {("es", "uno\n\ndos"), ("en-US", "one")}


def test_a_request_that_fails_fails_for_all_its_texts(server, caplog):
    reward = build(server, batch=2, workers=2, attempts=1)
    server.troubles = [500]
    assert judge(reward, ["uno", "dos", "tres", "cuatro"]) in ([None, 1.0] * 2, [1.0, None] * 2)  # whichever came first
    assert reward.failures == 2
    assert "failed on 2 of 4 texts" in caplog.text
