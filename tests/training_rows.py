"""Made-up training rows of code review chats, and eval cases planted among them.

Nothing of the shipped sets goes into the unrelated rows, apart from the instruction of the prompt
template that a team would share between its training data and its eval sets.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

INSTRUCTION = (
    "Review the code below. Reply with one JSON object and nothing else:\n"
    '{"verdict": "defect" or "clean", "category": ..., "line": ..., "severity": ..., "comment": ...}\n'
    "category is one of logic, boundary, null_handling, error_handling, resource_leak, concurrency, "
    "security, performance, api_misuse, data_loss.\n"
    "line is the number of the line to change. severity is low, medium, high or critical. comment is "
    'one sentence.\nIf nothing is wrong, verdict is "clean" and the other values are null.\n\n'
)
NOUNS = (  # noqa: SIM905
    "parcel tariff beacon ledger quarry valve orchard tram pallet sensor voucher turbine canal roster hangar "
    "kiln ferry recipe drill badge locker comet barrel harbour syllabus antenna furnace greenhouse paddock reef"
).split()
VERBS = (  # noqa: SIM905
    "merge rotate shrink collect weigh paint shuffle drain stamp fold label seal stack trim unload bind carve dock"
).split()
SNIPPETS = {
    "python": (
        "def {v}_{n}({a}, {b}={k}):\n    {c} = [{x} for {x} in {a} if {x}.{b2} > {k}]\n    if not {c}:\n        raise ValueError('{n} {c}')\n    return sum({x}.{d} for {x} in {c}) / len({c})",
        "class {N}{V}:\n    def __init__(self, {a}):\n        self.{a} = dict({a})\n        self.{c} = {k}\n\n    def {v}(self, {x}):\n        with self.{b} as {d}:\n            return {d}.get({x}, self.{c})",
        "async def {v}_{n}({a}):\n    {c} = await {a}.{v2}({k})\n    while {c}.{b} < {k}:\n        {c} = await {a}.{v2}({c}.{d} + {k})\n    await {a}.close()\n    return {c}",
    ),
    "javascript": (
        "export function {v}{N}({a}, {b} = {k}) {{\n  const {c} = {a}.filter(({x}) => {x}.{d} !== {b});\n  return {c}.map(({x}) => ({{ ...{x}, {b2}: {x}.{d} * {k} }}));\n}}",
        "const {c} = new Map();\nfor (const {x} of await {a}.{v}({k})) {{\n  {c}.set({x}.{b}, ({c}.get({x}.{b}) ?? 0) + {x}.{d});\n}}\nreturn [...{c}.entries()].slice(0, {k});",
    ),
    "go": (
        'func ({x} *{N}) {V}({a} []{B}, {b} int) (int, error) {{\n\tfor i, {c} := range {a} {{\n\t\tif {c}.{D} > {b}*{k} {{\n\t\t\treturn i, fmt.Errorf("{n} {d}: %v", {c})\n\t\t}}\n\t}}\n\treturn -1, nil\n}}',
    ),
    "sql": (
        "SELECT {a}.{b}, COUNT({c}.{d}) AS {v}_{n}\nFROM {a}\nLEFT JOIN {c} ON {c}.{a}_{x} = {a}.{x}\nWHERE {a}.{b2} >= {k}\nGROUP BY {a}.{b}\nHAVING COUNT({c}.{d}) > {k};",
    ),
    "shell": (
        'for {a} in {n}/*.{b}; do\n  {c}=$(basename "${{{a}}}" .{b})\n  {v} --{d} {k} "$NAME/${{{c}}}.{b2}" || exit {k}\ndone',
    ),
}  # fmt: skip
TALK = (
    "The {n} job should {v} every {a} after {k} minutes, but the {b} keeps growing. What would you change here?",
    "Could you look at how we {v} the {a}? Our {b} alarm fired {k} times since the {n} release.",
    "I moved the {a} code out of the {b} module. Does it still {v} the {n} before the {c} is read?",
    "Please review; {k} customers with a {d} {a} saw the wrong {n} on their {b} page.",
)
REMARKS = (
    "The {a} is read before the {b} exists, so the first {n} fails; create it in the constructor.",
    "Looks right to me. You may {v} the {c} once instead of {k} times, but that is taste.",
    "When {d} is larger than {k} the {b} of the {n} is skipped. Compare with the {a} instead.",
    "Nothing here is wrong, although I would call the {x} {b} and write a test for an empty {a}.",
)


def _words(luck: random.Random) -> dict[str, str]:
    nouns = [luck.choice(NOUNS) + luck.choice(("", "s", "_id", str(luck.randrange(9)))) for _ in range(7)]  # fmt: skip
    names = dict(zip(("n", "a", "b", "c", "d", "x", "b2"), nouns, strict=True))
    verbs = {"v": luck.choice(VERBS), "v2": luck.choice(VERBS)}
    capitals = {"N": names["n"].title(), "B": names["b"].title(), "D": names["d"].title(), "V": verbs["v"].title()}  # fmt: skip
    return names | verbs | capitals | {"k": str(luck.randrange(2, 5000))}


def unrelated_rows(n: int, seed: int = 0, snippets: int = 3) -> Iterator[dict[str, Any]]:
    """Chats of about 300 tokens in five styles."""
    luck = random.Random(seed)
    languages = list(SNIPPETS)
    for i in range(n):
        language = languages[luck.randrange(len(languages))]
        code = "\n\n".join(
            luck.choice(SNIPPETS[language]).format(**_words(luck)) for _ in range(snippets)
        )
        talk = luck.choice(TALK).format(**_words(luck))
        remark = " ".join(luck.choice(REMARKS).format(**_words(luck)) for _ in range(4))
        style = i % 5
        if style == 0:
            numbered = "\n".join(f"{j}| {line}" for j, line in enumerate(code.splitlines(), 1))
            asked = f"{INSTRUCTION}Purpose: {talk}\nLanguage: {language}\nCode:\n{numbered}"
            answer = json.dumps({"verdict": "clean" if i % 2 else "defect", "comment": remark})
            yield chat(asked, answer)
        elif style == 1:
            yield chat(f"{talk}\n\n```{language}\n{code}\n```", remark, "You review code.")
        elif style == 2:
            yield {"prompt": f"{talk}\n{code}\n", "completion": remark}
        elif style == 3:
            yield {"text": f"{talk}\n\n{code}\n\n{remark}"}
        else:
            row = chat(f"{talk}\n\n{code}", remark)
            row["messages"] += chat(luck.choice(TALK).format(**_words(luck)), remark)["messages"]
            yield row


def chat(asked: str, answer: str, system: str | None = None) -> dict[str, Any]:
    """A row in the OpenAI format."""
    messages = [{"role": "system", "content": system}] if system else []
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": messages + turns}


def reformat(text: str, how: int) -> str:
    """The same case as somebody's editor, forum or spreadsheet would give it back."""
    lines = text.splitlines()
    if how == 0:  # numbered from another line on
        return "\n".join(f"{i:4} | {line}" for i, line in enumerate(lines, 118))
    if how == 1:  # tabs and blank lines
        return "\n\n".join(line.replace("    ", "\t") for line in lines)
    if how == 2:  # fences, and comments that were not there
        commented = [f"{line}  # step {i}" if i % 3 == 0 else line for i, line in enumerate(lines)]
        return "```python\n# copied from the tracker\n" + "\n".join(commented) + "\n```"
    if how == 3:  # one long line in capitals
        return " ".join(text.split()).upper()
    return json.dumps({"code": text})  # inside a string of JSON


def paraphrase(text: str) -> str:
    """The case lightly reworded: one name renamed throughout, and every 25th word another one."""
    words = re.findall(r"[A-Za-z_]{4,}", text)
    repeated = [w for w in dict.fromkeys(words) if 2 <= words.count(w) <= 3]
    if repeated:
        text = re.sub(rf"\b{repeated[-1]}\b", "renamed_thing", text)
    pieces = re.split(r"(\W+)", text)  # words at even places
    pieces[24::50] = [f"{word}x" for word in pieces[24::50]]
    return "".join(pieces)


@dataclass(frozen=True)
class Plant:
    """A case that was put among the training rows."""

    id: str
    way: str
    line: int


def write_with_leaks(
    path: Path, rows: int, cases: Sequence[tuple[str, str]], seed: int = 0, snippets: int = 3
) -> list[Plant]:
    """Write unrelated rows with 10 exact, 10 reformatted and 5 paraphrased cases among them.

    Args:
        path: What to write.
        rows: How many rows in all.
        cases: Id and text of 25 cases.
        seed: Of the rows and the places.
        snippets: Pieces of code a row: its length.
    """
    luck = random.Random(f"plant {seed}")
    places = sorted(luck.sample(range(rows), len(cases)))
    texts = {}
    plants = []
    for number, ((case_id, text), place) in enumerate(zip(cases, places, strict=True)):
        way = "exact" if number < 10 else "reformatted" if number < 20 else "paraphrased"
        changed = {
            "exact": text,
            "reformatted": reformat(text, number % 5),
            "paraphrased": paraphrase(text),
        }[way]
        asked = ("Please review:\n", INSTRUCTION, "", "What do you think of this?\n\n")[number % 4]
        texts[place] = chat(asked + changed, "It depends on the caller.")
        plants.append(Plant(case_id, way, place + 1))
    with path.open("w", encoding="utf-8") as file:
        for i, row in enumerate(unrelated_rows(rows, seed, snippets)):
            file.write(json.dumps(texts.get(i, row)) + "\n")
    return plants
