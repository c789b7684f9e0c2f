"""A made-up run whose right answers are known: `python tests/evaluation/fake_run.py FOLDER` writes it with its report.

Five languages, seven systems, three groups; phrases from templates, errors planted at known rates, learning curves
drawn from formulas. Language identification looks words up in the templates.
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
from pathlib import Path

from eclectus.config import dump, parse
from eclectus.evaluation import metrics, report, translations
from eclectus.evaluation.results import Group, Results, System, build
from eclectus.segment import Segment

LANGUAGES = ["en", "es", "fr", "de", "ca"]
TEMPLATES = {
    "en": [
        "Select {n} {o} to change.",
        "Delete the selected {o}?",
        "You added {n} {o} on {d}.",
        "Please correct the errors below.",
        "The {o} were saved successfully.",
        "This field is required.",
        "{n} {o} of {m}",
        "Enter a valid email address.",
        "Are you sure you want to delete {n} {o}?",
        "Your password was changed on {d}.",
        "Show all {o}",
        "No {o} were found for {d}.",
    ],
    "es": [
        "Elija {n} {o} para modificar.",
        "¿Eliminar {o} seleccionados?",
        "Añadió {n} {o} el {d}.",
        "Corrija los siguientes errores.",
        "Se guardaron {o} correctamente.",
        "Este campo es obligatorio.",
        "{n} {o} de {m}",
        "Introduzca un correo electrónico válido.",
        "¿Está seguro de que quiere eliminar {n} {o}?",
        "Su contraseña se cambió el {d}.",
        "Mostrar todos: {o}",
        "No se encontraron {o} para el {d}.",
    ],
    "fr": [
        "Sélectionnez {n} {o} à modifier.",
        "Supprimer {o} sélectionnés ?",
        "Vous avez ajouté {n} {o} le {d}.",
        "Corrigez les erreurs suivantes.",
        "L'enregistrement de {o} a réussi.",
        "Ce champ est obligatoire.",
        "{n} {o} sur {m}",
        "Saisissez une adresse électronique valide.",
        "Voulez-vous vraiment supprimer {n} {o} ?",
        "Votre mot de passe a été modifié le {d}.",
        "Tout afficher : {o}",
        "Aucun résultat ({o}) pour le {d}.",
    ],
    "de": [
        "Wählen Sie {n} {o} zur Änderung aus.",
        "Ausgewählte {o} löschen?",
        "Sie haben am {d} {n} {o} hinzugefügt.",
        "Bitte die folgenden Fehler korrigieren.",
        "Die {o} wurden erfolgreich gespeichert.",
        "Dieses Feld ist zwingend erforderlich.",
        "{n} {o} von {m}",
        "Bitte gültige E-Mail-Adresse eingeben.",
        "Möchten Sie {n} {o} wirklich löschen?",
        "Ihr Passwort wurde am {d} geändert.",
        "Zeige alle {o}",
        "Keine {o} für den {d} gefunden.",
    ],
    "ca": [
        "Seleccioneu {n} {o} per modificar.",
        "Eliminar {o} seleccionats?",
        "Heu afegit {n} {o} el {d}.",
        "Corregiu els errors mostrats a sota.",
        "S'han desat {o} amb èxit.",
        "Aquest camp és obligatori.",
        "{n} {o} de {m}",
        "Introduïu una adreça de correu vàlida.",
        "Esteu segurs que voleu esborrar {n} {o}?",
        "La vostra contrasenya ha canviat el {d}.",
        "Mostra-ho tot: {o}",
        "No s'ha trobat cap resultat ({o}) per al {d}.",
    ],
}
OBJECTS = {
    "en": ["users", "files", "messages", "pages", "groups"],
    "es": ["usuarios", "ficheros", "mensajes", "páginas", "grupos"],
    "fr": ["utilisateurs", "fichiers", "messages", "pages", "groupes"],
    "de": ["Benutzer", "Dateien", "Nachrichten", "Seiten", "Gruppen"],
    "ca": ["usuaris", "fitxers", "missatges", "pàgines", "grups"],
}
MONTHS = {
    "en": "{} {} January|March|May|August|December",
    "es": "{} de {} enero|marzo|mayo|agosto|diciembre",
    "fr": "{} {} janvier|mars|mai|août|décembre",
    "de": "{}. {} Januar|März|Mai|August|Dezember",
    "ca": "{} de {} gener|març|maig|agost|desembre",
}
ZERO = ["es-fr", "es-de", "fr-es", "fr-de", "de-es", "de-fr"]
SUPERVISED = ["en-es", "es-en", "en-fr", "fr-en", "en-de", "de-en"]
LOW = ["en-ca", "ca-en"]
GROUPS = [
    Group(
        name="zero-shot",
        label="Zero-shot",
        directions=ZERO,
        description="No parallel sentence was ever seen.",
    ),
    Group(
        name="supervised",
        label="Supervised",
        directions=SUPERVISED,
        description="The base was trained on these.",
    ),
    Group(
        name="low-resource",
        label="Low-resource Catalan",
        directions=LOW,
        description="300 pairs in training.",
    ),
]
SYSTEMS = [
    System(name="base", label="base", role="base", description="The shipped model.", seconds=1300, steps=9000),
    System(
        name="rl",
        label="reinforced",
        role="system",
        description="RLOO, pivot agreement.",
        seconds=171,
        steps=204,
    ),
    System(name="constant_reward", label="constant reward", role="control", seconds=170, steps=200),
    System(name="supervised", label="supervised continued", role="control", seconds=171, steps=950),
    System(name="distillation", label="distillation from the pivot", role="control", seconds=171, steps=720),
    System(name="best_of_n", label="best of 8", role="control", seconds=0, steps=0),
    System(name="pivot", label="pivot through English", role="oracle", description="Two translations, not one."),
]
ERRORS = {  # share of words spoilt, share in the wrong language: for each group in order
    "base": [(0.30, 0.31), (0.05, 0.0), (0.14, 0.02)],
    "rl": [(0.07, 0.004), (0.05, 0.0), (0.11, 0.0)],
    "constant_reward": [(0.31, 0.32), (0.06, 0.0), (0.15, 0.02)],
    "supervised": [(0.29, 0.33), (0.045, 0.0), (0.12, 0.01)],
    "distillation": [(0.08, 0.004), (0.07, 0.0), (0.15, 0.02)],
    "best_of_n": [(0.20, 0.12), (0.05, 0.0), (0.13, 0.01)],
    "pivot": [(0.045, 0.0), None, None],
}
CONFIG = """
title: Zero-shot and low-resource quickstart
seed: 7
data:
  languages: [en, es, fr, de, ca]
  corpora: [{type: gettext}, {type: cldr, phrases: 6000}]
  max_pairs: {ca: 300}
reinforce:
  steps: 204
  tasks:
    - {name: zero-shot, directions: [es-fr, fr-de], reward: {terms: [{type: pivot}], gates: [{type: language}]}}
controls: [constant_reward, supervised, distillation, best_of_n]
"""


def phrases(rng: random.Random) -> dict[str, str]:
    """One phrase in all languages."""
    template, thing, month = rng.randrange(12), rng.randrange(5), rng.randrange(5)
    numbers = {"n": rng.randint(2, 99), "m": rng.randint(100, 999)}
    day = rng.randint(1, 28)
    made = {}
    for language in LANGUAGES:
        pattern, _, months = MONTHS[language].rpartition(" ")
        date = pattern.format(day, months.split("|")[month])
        made[language] = TEMPLATES[language][template].format(o=OBJECTS[language][thing], d=date, **numbers)
    return made


def segments(n: int = 40, seed: int = 7) -> dict[str, list[Segment]]:
    """N test segments for each direction; two corpora."""
    made: dict[str, list[Segment]] = {}
    for direction in ZERO + SUPERVISED + LOW:
        rng = random.Random(f"{seed} {direction}")
        source, _, target = direction.partition("-")
        made[direction] = []
        for i in range(n):
            phrase = phrases(rng)
            corpus = "cldr" if re.search(r"\d", phrase["en"]) else "gettext"
            made[direction].append(
                Segment(phrase[source], source, target, phrase[target], f"{direction}-{i}", {"corpus": corpus})
            )
    return made


def spoil(segment: Segment, words: float, wrong: float, rng: random.Random) -> str:
    """The reference with errors at the given rates."""
    assert segment.reference is not None
    if rng.random() < wrong:
        return segment.source if rng.random() < 0.7 else "Select the users to change."
    made: list[str] = []
    for word in segment.reference.split(" "):
        dice = rng.random()
        if dice < words * 0.5:
            made.append(rng.choice(OBJECTS[segment.target_lang]))
        elif dice < words * 0.7:
            made += [word, word, word]
        elif dice >= words:
            made.append(word)
    return " ".join(made)


def outputs(made: dict[str, list[Segment]], seed: int = 7) -> dict[str, dict[str, list[str]]]:
    """Translations by system and direction, with the errors of `ERRORS`."""
    found: dict[str, dict[str, list[str]]] = {}
    for system, rates in ERRORS.items():
        found[system] = {}
        for group, rate in zip(GROUPS, rates, strict=True):
            if rate is None:
                continue
            for direction in group.directions:
                # one stream for all systems: a segment that is hard for one is hard for the others
                rngs = [random.Random(f"{seed} {segment.id}") for segment in made[direction]]
                found[system][direction] = [spoil(s, *rate, r) for s, r in zip(made[direction], rngs, strict=True)]
    return found


def identify(texts: list[str], languages: list[str]) -> list[tuple[str | None, float]]:
    """The language that has most of the words; None where two have as many."""
    known = {
        language: set(re.findall(r"[^\W\d]+", " ".join(TEMPLATES[language] + OBJECTS[language])))
        for language in LANGUAGES
    }
    found: list[tuple[str | None, float]] = []
    for text in texts:
        words = re.findall(r"[^\W\d]+", text)
        hits = sorted(((sum(w in known[language] for w in words), language) for language in languages), reverse=True)
        found.append((hits[0][1] if hits[0][0] > hits[1][0] else None, 1.0))
    return found


def results(n: int = 40, resamples: int = 1000) -> Results:
    """The evaluation of the made-up systems."""
    made = segments(n)
    texts = outputs(made)
    entropies = {"base": {d: [1.4] * n for d in made}, "rl": {d: [0.6] * n for d in made}}
    return build(
        "Zero-shot and low-resource quickstart",
        7,
        LANGUAGES,
        made,
        texts,
        systems=SYSTEMS,
        groups=GROUPS,
        entropies=entropies,
        resamples=resamples,
    )


def write_metrics(run: Path) -> None:
    """Learning curves from formulas."""
    rng = random.Random(1)
    lines: list[dict] = []
    for step in range(200, 9001, 200):
        loss = 2 + 5 * math.exp(-step / 900)
        lines.append({"kind": "supervised", "step": step, "loss": loss, "seconds": step / 7, "tokens_per_second": 9000})
        score = 80 * (1 - math.exp(-step / 1500)) + rng.gauss(0, 0.4)
        lines.append({"kind": "dev", "stage": "supervised", "step": step, "seconds": step / 7, "score": score})
        lines[-1] |= {"chrf/supervised": score + 6, "chrf/low-resource": score - 12, "selected": step == 8600}
    for step in range(0, 205):
        rise = 1 - math.exp(-step / 50)
        reward = {"zero-shot": 0.33 + 0.45 * rise, "supervised": 0.84, "low-resource": 0.6 + 0.06 * rise}
        noisy = {f"reward/{task}": value + rng.gauss(0, 0.03) for task, value in reward.items()}
        if step > 0:
            lines.append(
                {"kind": "step", "step": step, "seconds": step * 0.84, "reward": sum(noisy.values()) / 3}
                | noisy
                | {"kl": 0.09 * rise + rng.random() * 0.01, "entropy": 1.4 - 0.8 * rise + rng.gauss(0, 0.04)}
                | {"off_target": max(0.0, 0.2 * (1 - rise) + rng.gauss(0, 0.01)), "length_ratio": 1.02}
                | {"samples_per_second": 300 + rng.gauss(0, 9), "tokens_per_second": 5000 + rng.gauss(0, 90)}
                | {"zero_signal": 0.1 + 0.2 * rise, "learning_rate": 1e-4, "grad_norm": 0.9, "loss": 0.1}
                | {f"parts/{task}/pivot": 0.5 for task in reward}
            )
        if step % 25 == 0:
            lines.append(
                {
                    "kind": "dev",
                    "stage": "reinforce",
                    "step": step,
                    "seconds": step * 0.9,
                    "score": 60 + 15 * rise,
                }
            )
            for task, start, gain in (
                ("zero-shot", 45, 36),
                ("supervised", 89, -0.5),
                ("low-resource", 78, 2),
            ):
                lines[-1] |= {
                    f"chrf/{task}": start + gain * rise + rng.gauss(0, 0.3),
                    f"bleu/{task}": start - 5,
                }
                lines[-1] |= {f"off_target/{task}": (0.3 if task == "zero-shot" else 0.0) * (1 - rise)}
                lines[-1] |= {f"reward/{task}": reward[task]}
            lines[-1]["selected"] = step == 175
    for stage, gain in (("constant_reward", -0.5), ("distillation", 30)):
        for step in range(0, 201, 50):
            lines.append({"kind": "dev", "stage": stage, "step": step, "seconds": step * 0.9, "score": 60})
            for task, start in (("zero-shot", 45), ("supervised", 89), ("low-resource", 78)):
                rise = gain if task == "zero-shot" else -3
                lines[-1][f"chrf/{task}"] = start + rise * (1 - math.exp(-step / 50))
    with (run / "metrics.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def write_samples(run: Path, made: dict[str, list[Segment]]) -> None:
    """Sampled translations, as the training loop writes them."""
    rng = random.Random(3)
    with (run / "samples.jsonl").open("w", encoding="utf-8") as file:
        for step, rate in ((0, 0.4), (100, 0.2), (200, 0.08)):
            for group in GROUPS[:2]:
                segment = made[group.directions[0]][step // 50]
                samples = [
                    {
                        "text": spoil(segment, rate, rate / 2, rng),
                        "reward": 0.9 - rate,
                        "parts": {"pivot": 0.8 - rate},
                    }
                    for _ in range(4)
                ]
                line = {
                    "step": step,
                    "task": group.name,
                    "direction": segment.direction,
                    "source": segment.source,
                }
                file.write(json.dumps(line | {"samples": samples}, ensure_ascii=False) + "\n")


def write_run(run: Path, n: int = 40, resamples: int = 1000) -> Results:
    """The whole folder as a run leaves it, without the report."""
    run.mkdir(parents=True, exist_ok=True)
    made = segments(n)
    found = results(n, resamples)
    found.save(run)
    translations.write(run, made, outputs(made))
    write_metrics(run)
    write_samples(run, made)
    (run / "config.yaml").write_text(dump(parse(CONFIG)), encoding="utf-8")
    counts = {
        d: {"train": 6000 if d not in LOW else 300, "dev": 100, "test": n} for d in ["en-es", "en-fr", "en-de", "en-ca"]
    }
    described = {"segments": counts, "dropped": {"too long": 311, "duplicate": 1204}, "leaks": 0}
    (run / "data.json").write_text(json.dumps(described), encoding="utf-8")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    metrics._identify = identify  # type: ignore[assignment]
    write_run(folder, n=200)
    print(report.write(folder))
