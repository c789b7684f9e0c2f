"""Sentences of real user interfaces: gettext catalogues of installed packages or in folders, joined over languages.

English is the msgid, so a package whose msgids are symbols (`label_foo`) gives nothing. Messages with HTML are
left out: tags are most of their characters, and a model learns to copy markup instead of to translate. Left out
as well: catalogues of other varieties (a run with `es` does not take `es_MX`).
"""

from __future__ import annotations

import gettext
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import Field

from eclectus import languages, registry
from eclectus.corpora.base import Corpus, Entry
from eclectus.errors import ConfigError, DataError

MANY = 5
"""The number for which msgid_plural is taken: "many" in Slavic languages and Arabic-like systems too."""

PLACEHOLDER = re.compile(
    r"%\([^)]*\)[#0\- +]?[\d.]*[a-zA-Z]"  # %(name)s
    r"|%(?:\d+\$)?[#0\-+]?[\d.]*(?:(?:ll?|z)[du]|(?:hh?|ll?|[jzt])?[sdiufgxXrc](?![a-zA-Z]))|%%"  # %s, %1$s, %.2f, %lu
    r"|\{\{.*?\}\}|\{[^{}]*\}|\$\{?\w+\}?"  # {{ name }}, {name}, ${name}
)
PLAIN = re.compile(r"%(?!\(|%|\d+\$).+")
"""Of these, one of printf that does not say which argument it takes."""
HTML = re.compile(r"</?[a-zA-Z][^>]*>|&(?:[a-zA-Z]{2,8}|#\d+);")
SYMBOLIC = re.compile(r"[A-Z0-9]+(?:_[A-Z0-9]+)+|[a-z0-9]+(?:[._:/-][a-zA-Z0-9]+)+|\w+(?:_\w+)+|[a-z]+[A-Z]\w*")
WORD = re.compile(r"[^\W\d_]{2,}")
ACCELERATOR_SUFFIX = re.compile(r"\s?\(&\w\)")
ACCELERATOR = re.compile(r"(?<![^\W_])&(?=\w)|(?<=[a-z])&(?=\w)|(?<=\w)&(?=[a-z])")

Key = tuple[str, str, str]
"""(msgctxt, msgid or msgid_plural, "one" | "many")."""

Groups = dict[tuple[str, str], dict[str, Path]]
"""(folder, domain) -> {gettext's name of the language: file}."""


class Gettext(Corpus):
    """Catalogues (.po, else .mo) of installed packages, and of your own in folders.

    In a folder they lie as `de/LC_MESSAGES/app.po`, at any depth, or as `de.po`.
    """

    class Options(registry.Options):
        packages: list[str] | None = Field(
            None, description="import names of installed packages; null: django where there are no `folders`"
        )
        optional: list[str] = Field(default_factory=list, description="packages used only where installed")
        folders: list[Path] = Field(default_factory=list, description="folders with catalogues of your own")

    options: Options

    @property
    def signature(self) -> str:
        """Packages with version and licence, then folders: `gettext|django:5.2.4 (BSD-3-Clause)|locale:12 files …`."""
        packages = (_package_signature(package) for package, _ in self._roots())
        return "|".join([self.name, *packages, *(_folder_signature(*found) for found in self._own())])

    def entries(self) -> Iterator[Entry]:
        """Yield one entry for each message (two for a message with plurals).

        Raises:
            DataError: a package that is not optional is not installed, a folder is not there, or either has no
                catalogues or one that cannot be read.
        """
        for package, root in self._roots():
            groups = _catalogues(root)
            if not groups and package not in self.options.optional:
                raise DataError(f"gettext: package '{package}' holds no .po or .mo catalogues; take it off 'packages'")
            yield from self._joined(package, groups)
        for folder, groups in self._own():
            yield from self._joined(folder.name, groups)

    def _roots(self) -> list[tuple[str, Path]]:
        """Installed packages, in the order of the options, with their folders."""
        roots = []
        packages = self.options.packages
        if packages is None:
            packages = [] if self.options.folders else ["django"]
        for package in dict.fromkeys([*packages, *self.options.optional]):
            spec = importlib.util.find_spec(package.partition(".")[0].replace("-", "_"))
            found = list(spec.submodule_search_locations or []) if spec else []
            if found:
                roots.append((package, Path(found[0], *package.split(".")[1:])))
            elif package not in self.options.optional:
                raise DataError(
                    f"gettext: package '{package}' is not installed; `pip install {package}`, "
                    "or name it under 'optional' to go on without it"
                )
        return roots

    def _own(self) -> list[tuple[Path, Groups]]:
        """The folders of the options with their catalogues."""
        found = []
        for path in self.options.folders:
            root = self.locate(path).expanduser()
            if root.is_file():
                raise DataError(f"gettext: '{path}' is a file; name the folder that holds it")
            if not root.is_dir():
                raise DataError(f"gettext: no folder '{path}' (looked in {Path.cwd()}); check its path")
            groups = _catalogues(root, by_name=True)
            if not groups:
                raise DataError(
                    f"gettext: folder '{path}' holds no catalogues; let them be called de/LC_MESSAGES/app.po, or de.po"
                )
            found.append((root, groups))
        return found

    def _joined(self, package: str, groups: Groups) -> Iterator[Entry]:
        for (folder, domain), files in sorted(groups.items()):
            yield from self._join(package, f"{folder}/{domain}", files)

    def _join(self, package: str, place: str, files: dict[str, Path]) -> Iterator[Entry]:
        """Join the catalogues of one folder and domain over languages."""
        joined: dict[Key, dict[str, str]] = {}
        refused: set[Key] = set()
        for tag in self.languages:
            if tag == "en":
                continue
            for folder in _folders(tag, files):
                for key, text in _messages(files[folder], self.dropped):
                    if key in refused or tag in joined.get(key, {}):
                        continue
                    reason = _refusal(key[1]) if key not in joined else None
                    if reason:
                        refused.add(key)
                        self.dropped[reason] += 1
                    elif _placeholders(key[1]) != _placeholders(text):
                        self.dropped["placeholders differ"] += 1
                    elif HTML.search(text):
                        self.dropped["html"] += 1
                    else:
                        joined.setdefault(key, {})[tag] = _without_accelerator(text)
        for key, translations in joined.items():
            texts = {"en": _without_accelerator(key[1]), **translations}
            digest = hashlib.sha256("\x04".join(key).encode()).hexdigest()[:12]
            yield Entry({t: texts[t] for t in self.languages if t in texts}, self.name, f"{package}/{place}/{digest}")


def _package_signature(package: str) -> str:
    top = package.partition(".")[0]
    try:
        meta = importlib.metadata.metadata(top)
    except importlib.metadata.PackageNotFoundError:
        owners = importlib.metadata.packages_distributions().get(top.replace("-", "_"), [])
        if not owners:
            return package
        meta = importlib.metadata.metadata(owners[0])
    licence = next((meta[key] for key in ("License-Expression", "License") if key in meta), "")
    if not licence or "\n" in licence:
        classifiers = [c for c in meta.get_all("Classifier") or [] if c.startswith("License ::")]
        licence = classifiers[0].rpartition(":: ")[2] if classifiers else "licence unknown"
    return f"{package}:{meta['Version']} ({licence})"


def _folder_signature(root: Path, groups: Groups) -> str:
    paths = sorted(path for files in groups.values() for path in files.values())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]
    return f"folder:{root}|files:{len(paths)}|sha256:{digest}"


def _catalogues(root: Path, by_name: bool = False) -> Groups:
    """Find catalogues in folders LC_MESSAGES, and where `by_name` those called by a language; .po before .mo."""
    groups: Groups = {}
    for folder, _, names in os.walk(root):
        place = Path(folder)
        for name in sorted(names, reverse=True):  # .po sorts before .mo in reverse
            stem, suffix = os.path.splitext(name)
            if suffix not in (".po", ".mo"):
                continue
            if place.name.endswith("LC_MESSAGES"):
                key, language = (place.parent.parent.relative_to(root).as_posix(), stem), place.parent.name
            elif by_name and _variety(stem) is not None:
                key, language = (place.relative_to(root).as_posix(), ""), stem
            else:
                continue
            groups.setdefault(key, {}).setdefault(language, place / name)
    return groups


def _folders(tag: str, files: dict[str, Path]) -> list[str]:
    """Gettext folders of the same variety as `tag`, the one spelled like it first: pt -> pt, pt_PT."""
    same = [folder for folder in files if _variety(folder) == languages.locale(tag)]
    return sorted(same, key=lambda folder: (folder != tag.replace("-", "_"), folder))


@cache
def _variety(folder: str) -> str | None:
    """The language of a gettext folder with script and region: `sr@latin` -> `sr-Latn-RS`; None for no language."""
    try:
        return languages.locale(folder.replace("@latin", "_Latn").replace("_", "-"))
    except ConfigError:  # such as en@shaw
        return None


def _messages(path: Path, dropped: Counter[str]) -> Iterator[tuple[Key, str]]:
    """Yield the finished translations of one catalogue."""
    try:
        import polib
    except ImportError as error:
        raise DataError("gettext: needs polib; `pip install 'eclectus[quickstart]'`") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            catalogue = polib.pofile(str(path)) if path.suffix == ".po" else polib.mofile(str(path))
    except (OSError, ValueError, struct.error) as error:  # the last of a .mo that ends too soon
        raise DataError(
            f"gettext: cannot read '{path}' ({error}); install its package again, or repair the file"
        ) from error
    one, many = _plural_forms(catalogue.metadata.get("Plural-Forms", ""))
    for message in catalogue:
        if message.obsolete:
            dropped["obsolete"] += 1
        elif getattr(message, "fuzzy", False):  # a .mo file holds no fuzzy ones
            dropped["fuzzy"] += 1
        elif message.msgid_plural:
            context = message.msgctxt or ""
            for msgid, form, number in ((message.msgid, one, "one"), (message.msgid_plural, many, "many")):
                text = message.msgstr_plural.get(form, "")
                if text:
                    yield (context, msgid, number), text
                else:
                    dropped["untranslated"] += 1
        elif message.msgstr:
            yield (message.msgctxt or "", message.msgid, "one"), message.msgstr
        else:
            dropped["untranslated"] += 1


def _plural_forms(header: str) -> tuple[int, int]:
    """Indices of the forms for 1 and for `MANY`, by the catalogue's Plural-Forms header."""
    match = re.search(r"plural\s*=\s*([^;]+)", header)
    try:
        # c2py parses the C expression with its own tokenizer and refuses everything else.
        rule = gettext.c2py(match.group(1).strip()) if match else (lambda n: int(n != 1))
        return int(rule(1)), int(rule(MANY))
    except ValueError:
        return 0, 1


def _refusal(msgid: str) -> str | None:
    """Why a message is no sentence, or None."""
    if HTML.search(msgid):
        return "html"
    bare = PLACEHOLDER.sub(" ", msgid).strip()
    if not WORD.search(bare):
        return "no words"
    if SYMBOLIC.fullmatch(bare):
        return "symbolic"
    if re.fullmatch(r"(?:%[a-zA-Z]|\b([a-zA-Z])\1*\b|[\W\d_])+", bare):
        return "date pattern"
    return None


def _placeholders(text: str) -> Counter[str]:
    """Count placeholders; plain ones of printf are numbered, as a translation may say their order: `%2$s %1$s`."""
    found: Counter[str] = Counter()
    place = 0
    for placeholder in PLACEHOLDER.findall(text):
        if PLAIN.fullmatch(placeholder):
            place += 1
            placeholder = f"%{place}${placeholder[1:]}"
        found[placeholder] += 1
    return found


def _without_accelerator(text: str) -> str:
    """Take off the marker of a keyboard shortcut (`&File`, `E&xit`, `文件(&F)`); keep `Q&A` and `this & that`."""
    return ACCELERATOR.sub("", ACCELERATOR_SUFFIX.sub("", text)) if text.count("&") == 1 else text
