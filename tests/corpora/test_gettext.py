"""Catalogues of installed packages and in folders, on files made for the test and on Django."""

import sys
from pathlib import Path

import polib
import pytest

from eclectus.corpora.gettext import Gettext
from eclectus.errors import DataError

PLURALS = {"es": "nplurals=2; plural=(n != 1);", "pl": "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 ? 1 : 2);"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "toy_package"
    root.mkdir()
    (root / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return root


def write(root: Path, folder: str, *messages: polib.POEntry, suffix: str = "po") -> None:
    catalogue = polib.POFile()
    catalogue.metadata = {
        "Content-Type": "text/plain; charset=UTF-8",
        "Plural-Forms": PLURALS.get(folder, PLURALS["es"]),
    }
    catalogue.extend(messages)
    path = root / "locale" / folder / "LC_MESSAGES" / f"django.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    (catalogue.save if suffix == "po" else catalogue.save_as_mofile)(str(path))


def read(languages: list[str], **options: object) -> tuple[list[dict[str, str]], dict[str, int]]:
    corpus = Gettext(Gettext.Options(packages=["toy_package"], **options), languages, seed=1)
    return [dict(entry.texts) for entry in corpus.entries()], dict(corpus.dropped)


def message(msgid: str, msgstr: str, **more: object) -> polib.POEntry:
    return polib.POEntry(msgid=msgid, msgstr=msgstr, **more)


def test_languages_are_joined_by_context_and_message(package: Path) -> None:
    write(package, "es", message("May", "Mayo", msgctxt="month"), message("May", "Puede"), message("Save", "Guardar"))
    write(package, "pl", message("Save", "Zapisz"), message("May", "Maj", msgctxt="month"))
    texts, _ = read(["en", "es", "pl"])
    assert texts == [
        {"en": "May", "es": "Mayo", "pl": "Maj"},
        {"en": "May", "es": "Puede"},
        {"en": "Save", "es": "Guardar", "pl": "Zapisz"},
    ]


def test_plurals_take_the_form_of_one_and_of_many(package: Path) -> None:
    forms = {0: "%d plik", 1: "%d pliki", 2: "%d plików"}
    write(package, "pl", polib.POEntry(msgid="%d file", msgid_plural="%d files", msgstr_plural=forms))
    texts, _ = read(["en", "pl"])
    assert texts == [{"en": "%d file", "pl": "%d plik"}, {"en": "%d files", "pl": "%d plików"}]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (message("Save it", "Guardar", flags=["fuzzy"]), "fuzzy"),
        (message("Save it", "Guardar", obsolete=True), "obsolete"),
        (message("Save it", ""), "untranslated"),
        (message("Hello %(name)s", "Hola %(nombre)s"), "placeholders differ"),
        (message("Hello {name}", "Hola"), "placeholders differ"),
        (message("%s of %s", "de %s"), "placeholders differ"),
        (message("%s in %d files", "%1$s en %1$d"), "placeholders differ"),
        (message("%s in %d files", "%d en %s"), "placeholders differ"),
        (message("%lu bytes", "bytes"), "placeholders differ"),
        (message("Press <b>Save</b>", "Pulse <b>Guardar</b>"), "html"),
        (message("Tom &amp; Bob", "Tom y Bob"), "html"),
        (message("label_foo", "Etiqueta"), "symbolic"),
        (message("DATE_FORMAT", "j de F"), "symbolic"),
        (message("heading.intro.title", "Título"), "symbolic"),
        (message("N j, Y", "j N Y"), "no words"),
        (message("YYYY-MM-DD", "DD/MM/AAAA"), "date pattern"),
        (message("%(count)s / %s", "%(count)s : %s"), "no words"),
    ],
)
def test_what_is_no_translation_is_left_out_and_counted(package: Path, entry: polib.POEntry, reason: str) -> None:
    write(package, "es", entry, message("Keep this", "Conserve esto"))
    texts, dropped = read(["en", "es"])
    assert texts == [{"en": "Keep this", "es": "Conserve esto"}]
    assert dropped == {reason: 1}


@pytest.mark.parametrize(
    ("msgid", "msgstr"),
    [
        ("Icon '%s' not present in theme %s", "El tema %2$s no tiene el icono '%1$s'"),
        ("%s and %.2f of %%", "%2$.2f y %1$s de %%"),
        ("%1$s and %2$s", "%s y %s"),
        ("%(a)s has %5lu and %s", "%2$s y %1$5lu tiene %(a)s"),
        ("a %zu bit hash", "un %zubitový hash"),
    ],
)
def test_placeholders_may_change_their_order(package: Path, msgid: str, msgstr: str) -> None:
    write(package, "es", message(msgid, msgstr))
    assert read(["en", "es"]) == ([{"en": msgid, "es": msgstr}], {})


@pytest.mark.parametrize(
    ("msgid", "msgstr", "expected"),
    [
        ("&File", "&Archivo", ("File", "Archivo")),
        ("E&xit now", "Sa&lir ya", ("Exit now", "Salir ya")),
        ("Terms & Conditions", "Términos y condiciones", ("Terms & Conditions", "Términos y condiciones")),
        ("Our Q&A page", "Página de Q&A", ("Our Q&A page", "Página de Q&A")),
        ("100% sure of it", "100% seguro de ello", ("100% sure of it", "100% seguro de ello")),
    ],
)
def test_accelerators_go_and_ampersands_stay(package: Path, msgid: str, msgstr: str, expected: tuple[str, str]) -> None:
    write(package, "es", message(msgid, msgstr))
    assert read(["en", "es"])[0] == [dict(zip(("en", "es"), expected, strict=True))]


@pytest.mark.parametrize(
    ("tag", "folders", "expected"),
    [
        ("pt", ["pt", "pt_BR"], "pt"),
        ("pt", ["pt_PT", "pt_BR"], "pt_PT"),
        ("pt-BR", ["pt", "pt_BR"], "pt_BR"),
        ("zh-Hans", ["zh_CN", "zh_Hant"], "zh_CN"),
        ("he", ["he_IL"], "he_IL"),
        ("sr-Latn", ["sr", "sr@latin", "en@shaw"], "sr@latin"),
        ("es", ["es_MX"], None),
    ],
)
def test_gettext_folders(package: Path, tag: str, folders: list[str], expected: str | None) -> None:
    for folder in folders:
        write(package, folder, message("Save it", f"in {folder}"))
    assert read(["en", tag])[0] == ([{"en": "Save it", tag: f"in {expected}"}] if expected else [])


def test_a_mo_file_is_read_where_there_is_no_po_file(package: Path) -> None:
    write(package, "es", message("Save it", "Guárdelo"), suffix="mo")
    assert read(["en", "es"])[0] == [{"en": "Save it", "es": "Guárdelo"}]


def test_a_mo_file_that_ends_too_soon_is_one_sentence(package: Path) -> None:
    write(package, "es", polib.POEntry(msgid="Save the file", msgstr="Guardar el archivo"), suffix="mo")
    path = package / "locale" / "es" / "LC_MESSAGES" / "django.mo"
    whole = path.read_bytes()
    refused = 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            read(["en", "es"])
        except DataError as error:
            refused += 1
            assert str(path) in str(error) and "install its package again, or repair the file" in str(error)
    assert refused > 28  # without as much as a whole header; polib takes a text that is cut for a short one


def test_a_po_file_goes_before_its_mo_file(package: Path) -> None:
    write(package, "es", message("Save it", "compiled"), suffix="mo")
    write(package, "es", message("Save it", "Guárdelo"))
    assert read(["en", "es"])[0] == [{"en": "Save it", "es": "Guárdelo"}]


def test_a_package_that_is_not_installed(package: Path) -> None:
    write(package, "es", message("Save it", "Guárdelo"))
    with pytest.raises(DataError, match=r"'no_such_package' is not installed; `pip install no_such_package`"):
        list(Gettext(Gettext.Options(packages=["no_such_package"]), ["en", "es"], 1).entries())
    assert len(read(["en", "es"], optional=["no_such_package"])[0]) == 1


def test_a_package_without_catalogues(package: Path) -> None:
    with pytest.raises(DataError, match=r"'toy_package' holds no .po or .mo catalogues"):
        read(["en", "es"])


def test_django_is_real_text() -> None:
    corpus = Gettext(None, ["en", "es", "gl"], seed=1)
    texts = {entry.texts["en"]: entry.texts for entry in corpus.entries()}
    assert texts["This field is required."]["es"] == "Este campo es obligatorio."
    assert len(texts) > 500
    assert corpus.signature.startswith("gettext|django:") and "BSD-3-Clause" in corpus.signature


def own(folder: Path, languages: list[str], **options: object) -> Gettext:
    corpus = Gettext(Gettext.Options(folders=["translations"], **options), languages, seed=1)
    corpus.root = folder
    return corpus


def save(path: Path, *messages: polib.POEntry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8"}
    catalogue.extend(messages)
    (catalogue.save if path.suffix == ".po" else catalogue.save_as_mofile)(str(path))


def test_catalogues_of_ones_own_in_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "translations"
    save(root / "app" / "locale" / "es" / "LC_MESSAGES" / "app.po", message("Save it", "Guardar"))
    save(root / "po" / "es.po", message("Open it", "Abrir"))
    save(root / "po" / "es.mo", message("Open it", "of the .mo"))
    save(root / "po" / "pt_BR.po", message("Open it", "Abra"))
    save(root / "po" / "template.po", message("Open it", "nothing"))
    found = own(tmp_path, ["en", "es", "pt-BR"])
    assert [dict(entry.texts) for entry in found.entries()] == [
        {"en": "Save it", "es": "Guardar"},
        {"en": "Open it", "es": "Abrir", "pt-BR": "Abra"},
    ]
    assert [entry.id.rpartition("/")[0] for entry in found.entries()] == [
        "translations/app/locale/app",
        "translations/po/",
    ]
    before = found.signature
    assert before.startswith(f"gettext|folder:{root}|files:3|sha256:")
    save(root / "po" / "es.po", message("Open it", "Ábralo"))
    assert own(tmp_path, ["en", "es", "pt-BR"]).signature != before


def test_packages_and_folders_together(package: Path, tmp_path: Path) -> None:
    write(package, "es", message("Save it", "Guardar"))
    save(tmp_path / "translations" / "es.po", message("Open it", "Abrir"))
    found = own(tmp_path, ["en", "es"], packages=["toy_package"])
    assert [entry.texts["es"] for entry in found.entries()] == ["Guardar", "Abrir"]


def test_a_folder_that_is_not_there_or_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gettext: no folder 'translations' .*looked in"):
        list(own(tmp_path, ["en", "es"]).entries())
    (tmp_path / "translations").write_text("")
    with pytest.raises(DataError, match="gettext: 'translations' is a file; name the folder that holds it"):
        list(own(tmp_path, ["en", "es"]).entries())
    (tmp_path / "translations").unlink()
    save(tmp_path / "translations" / "template.po", message("Open it", "Abrir"))
    with pytest.raises(DataError, match=r"folder 'translations' holds no catalogues; .*de/LC_MESSAGES/app.po"):
        list(own(tmp_path, ["en", "es"]).entries())


def test_without_polib_a_hint_says_what_to_install(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(package, "es", message("Save it", "Guardar"))
    monkeypatch.setitem(sys.modules, "polib", None)
    with pytest.raises(DataError, match=r"gettext: needs polib; `pip install 'eclectus\[quickstart\]'`"):
        read(["en", "es"])
