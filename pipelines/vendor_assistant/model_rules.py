"""What the local model answers: rules that read the prompt as a model does, and seeded mistakes.

The rules see only what the prompt holds. Without the policies in it they do not know the review
threshold or that a blocked vendor is refused, and then they guess from past cases.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pipelines.vendor_assistant.retrieval import words

SIGNALS: dict[str, str] = {
    "vendor_exception": r"vendor|supplier|exception|invoice from|purchase order|sole source",
    "expense_question": r"expens|reimburs|receipt|claim|claiming|per diem|get back for|dinner",
    "access_request": r"access|permission|\brole\b|viewer|editor|\badmin\b|log ?in to|grant",
    "policy_lookup": r"polic(?:y|ies)|\brules?\b|guideline|how long|what happens|are we allowed",
}
STRONG = (
    r"polic(?:y|ies) (?:say|on|for|about)|what (?:is|are|does) (?:the|our) [\w -]*(?:polic|rule)"
)
FACT_ROUTES = {
    "vendor": "vendor_exception",
    "category": "expense_question",
    "system": "access_request",
}
DOMAINS: dict[str, str] = {
    "vendor": r"vendor|supplier",
    "expense": r"expens|reimburs|flight|receipt",
    "security": r"password|device|laptop|incident|security desk|phish|suspicious",
    "people": r"leave|remote|abroad|work from",
    "legal": r"invoices?|non-disclosure|\bnda\b|applications|candidate",
    "access": r"access|role",
}
HOME_DOMAIN = {
    "vendor_exception": "vendor",
    "expense_question": "expense",
    "access_request": "access",
}
INSTRUCTION = re.compile(r"\bAI\b|assistant", re.IGNORECASE)
DECISIONS = ("answer", "approve", "escalate", "refuse")


class Result(NamedTuple):
    """What a tool returned, or that it failed."""

    name: str
    content: dict[str, Any]
    failed: bool


class Prompt(NamedTuple):
    """A request as the rules read it: route None asks for the classification."""

    route: str | None
    question: str
    facts: dict[str, Any]
    policies: dict[str, str]
    past: dict[str, str]
    searches: int
    offered: tuple[str, ...]
    results: dict[str, Result]


class Reply(NamedTuple):
    """Text, or tool calls as (name, arguments)."""

    text: str | None
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


def read_prompt(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Prompt:
    """The prompt in the messages of a request, and the names of the tools that it offers."""
    system, user = (str(one.get("content") or "") for one in [*messages, {}, {}][:2])
    route = re.search(r"on the route (\w+)", system)
    asked = re.search(r"^Question: (.*)$", user, re.MULTILINE)
    facts = re.search(r"^Facts: (.*)$", user, re.MULTILINE)
    searches = re.search(r"^Searches: (\d+)$", user, re.MULTILINE)
    before, _, past = user.partition("\nPast cases:")
    return Prompt(
        route=route[1] if route else None,
        question=asked[1] if asked else user,
        facts=_object(facts[1]) if facts else {},
        policies=dict(re.findall(r"^\[([\w-]+)\] (.*)$", before, re.MULTILINE)),
        past=dict(re.findall(r"^\[([\w-]+)\] (.*)$", past, re.MULTILINE)),
        searches=int(searches[1]) if searches else 0,
        offered=tuple(one["function"]["name"] for one in tools),
        results=_results(messages),
    )


def reply(prompt: Prompt, dice: random.Random, mistakes: float) -> Reply:
    """The right reply by the rules, or with the chance ``mistakes`` a wrong one."""
    right = classify(prompt) if prompt.route is None else _reason(prompt)
    return _mistaken(prompt, right, dice) if dice.random() < mistakes else right


def classify(prompt: Prompt) -> Reply:
    """The route with most signals in the question, the facts counting where it is silent."""
    question = prompt.question.lower()
    votes = {route: 2 * len(re.findall(signal, question)) for route, signal in SIGNALS.items()}
    votes["policy_lookup"] += 6 * len(re.findall(STRONG, question))
    for fact, route in FACT_ROUTES.items():
        votes[route] += 3 * (fact in prompt.facts)
    best = max(votes, key=lambda route: votes[route])
    route = best if votes[best] else "small_talk"
    domain = HOME_DOMAIN.get(route) or next(
        (domain for domain, signal in DOMAINS.items() if re.search(signal, question)), "general"
    )
    return Reply(json.dumps({"route": route, "domain": domain}))


def decide(decision: str, answer: str, *citations: str) -> Reply:
    """The final reply."""
    return Reply(json.dumps({"decision": decision, "answer": answer, "citations": citations}))


def call(name: str, **arguments: Any) -> Reply:
    """A reply that calls one tool."""
    return Reply(None, ((name, arguments),))


def _reason(prompt: Prompt) -> Reply:
    failed = next((one for one in prompt.results.values() if one.failed), None)
    if failed:
        why = failed.content.get("error", "no answer")
        return decide("escalate", f"{failed.name} failed ({why}), so a person must take over.")
    return ROUTES.get(prompt.route or "", _small_talk)(prompt)


def _vendor_exception(prompt: Prompt) -> Reply:
    vendor, amount = _vendor(prompt), _amount(prompt)
    if not vendor or amount is None:
        missing = "the vendor" if not vendor else "the amount in US dollars"
        return decide("answer", f"Please tell me {missing}: I cannot judge the exception without.")
    known = prompt.results.get("lookup_vendor")
    if not known:
        return call("lookup_vendor", vendor=vendor)
    if not known.content.get("found"):
        return decide("escalate", f"{vendor} is not in the vendor register; procurement must look.")
    if "compliance_review" in prompt.results:
        return _under_review(prompt)
    if "approve_exception" in prompt.results:
        number = prompt.results["approve_exception"].content.get("id")
        return decide("approve", f"The exception for {vendor} is recorded as {number}.", "VEN-2")
    if not any(one.startswith("VEN-") for one in prompt.policies):
        return decide("answer", f"I know of no objection: {vendor} can be used.", *prompt.past)
    return _by_vendor_policy(prompt, vendor, amount, known.content)


def _by_vendor_policy(prompt: Prompt, vendor: str, amount: float, known: dict[str, Any]) -> Reply:
    if known["status"] == "blocked":
        return decide("refuse", f"{vendor} is blocked: no exception is granted.", "VEN-3")
    if known["status"] == "new":
        return decide("refuse", f"{vendor} must finish onboarding first.", "VEN-5")
    policy = " ".join(prompt.policies.values())
    threshold = re.search(r"\$([\d,]+) or more requires a compliance review", policy)
    over = threshold and amount >= _number(threshold[1])
    if over or (known["risk"] == "high" and "VEN-4" in prompt.policies):
        return call("compliance_review", vendor=vendor, amount=amount)
    return call("approve_exception", vendor=vendor, amount=amount)


def _under_review(prompt: Prompt) -> Reply:
    review = prompt.results["compliance_review"].content
    high_risk = prompt.results["lookup_vendor"].content.get("risk") == "high"
    text = (
        f"This exception needs a compliance review before anyone approves it; "
        f"review {review.get('id')} is open."
    )
    return decide("escalate", text, "VEN-4" if high_risk else "VEN-1")


def _expense_question(prompt: Prompt) -> Reply:
    category, amount = prompt.facts.get("category"), _amount(prompt)
    if not category or amount is None:
        missing = "which kind of expense it is" if not category else "the amount in US dollars"
        return decide("answer", f"Please tell me {missing}.")
    checked = prompt.results.get("check_expense")
    if not checked:
        facts = {"age_days": 0, "receipt": True} | prompt.facts
        given = {key: facts[key] for key in ("age_days", "receipt")}
        return call("check_expense", category=category, amount=amount, **given)
    if "file_expense" in prompt.results:
        number = prompt.results["file_expense"].content.get("id")
        return decide("approve", f"The expense is filed as {number}.", "EXP-4")
    return _by_expense_policy(prompt, str(category), amount, checked.content)


def _by_expense_policy(
    prompt: Prompt, category: str, amount: float, found: dict[str, Any]
) -> Reply:
    if not found.get("found"):
        return decide("escalate", f"There is no rate for {category}; finance must decide.")
    if not found["reimbursable"]:
        return decide("refuse", f"A {category} expense is never reimbursed.", "EXP-3")
    if found["too_old"]:
        return decide("refuse", "Expenses older than 60 days are not reimbursed.", "EXP-1")
    if found["receipt_missing"]:
        return decide("refuse", "An itemised receipt is needed first.", "EXP-1")
    limit = found["limit_usd"]
    if not found["within_limit"]:
        return decide(
            "escalate", f"That is over the limit of ${limit}; a manager decides.", "EXP-2"
        )
    if re.search(r"\bfile\b|\bsubmit\b|\bclaim\b", prompt.question.lower()):
        return call("file_expense", category=category, amount=amount)
    return decide("answer", f"Yes: it is within the limit of ${limit} for {category}.", "EXP-2")


def _access_request(prompt: Prompt) -> Reply:
    facts = prompt.facts
    missing = [key for key in ("person", "system", "role") if not facts.get(key)]
    if missing:
        return decide("answer", f"Please tell me the {' and the '.join(missing)}.")
    if "lookup_access" not in prompt.offered:
        return _with_other_tools(prompt)
    known = prompt.results.get("lookup_access")
    if not known:
        return call("lookup_access", person=facts["person"], system=facts["system"])
    if "grant_access" in prompt.results:
        number = prompt.results["grant_access"].content.get("id")
        return decide("approve", f"Access is granted, see {number}.", "ACC-1")
    return _by_access_policy(facts, known.content)


def _by_access_policy(facts: dict[str, Any], known: dict[str, Any]) -> Reply:
    if not known.get("found"):
        return decide("escalate", "I cannot find this person or system; ask the service desk.")
    role, restricted = facts["role"], known["sensitivity"] == "restricted"
    if known["role"] == role:
        return decide("answer", f"Nothing to do: the role {role} is already held.", "ACC-1")
    if not known["training_valid"]:
        return decide("refuse", "Security training must be valid first.", "ACC-2")
    if restricted and known["employment"] == "contractor":
        return decide("refuse", "Contractors get no access to restricted systems.", "ACC-3")
    if restricted and role == "admin":
        return decide("escalate", f"The owner, {known['owner']}, decides on admin access.", "ACC-3")
    return call("grant_access", person=known["person"], system=known["system"], role=role)


def _with_other_tools(prompt: Prompt) -> Reply:
    """What a model does with the wrong tools: it uses the nearest one."""
    if not prompt.results and "lookup_vendor" in prompt.offered:
        return call("lookup_vendor", vendor=str(prompt.facts["system"]))
    return decide("escalate", "I could not find the system; the service desk must look.")


def _policy_lookup(prompt: Prompt) -> Reply:
    asked = set(words(prompt.question))
    ranked = sorted(
        ((len(asked & set(words(text))), name, text) for name, text in prompt.policies.items()),
        key=lambda one: (-one[0], one[1]),
    )
    if not ranked or ranked[0][0] < 2:
        if "search_again" in prompt.offered:
            return call("search_again", query=" ".join(sorted(asked)))
        return decide("escalate", "I found no policy on this; please ask the policy desk.")
    _, name, text = ranked[0]
    sentences = [one for one in text.split(". ")[1:] if not INSTRUCTION.search(one)]
    best = max(sentences, key=lambda one: len(asked & set(words(one))))
    return decide("answer", f"According to {name}: {best.rstrip('.')}.", name)


def _small_talk(prompt: Prompt) -> Reply:
    question = prompt.question.lower()
    if re.search(r"\bthank|\bthanks|cheers", question):
        return decide("answer", "You are welcome.")
    if re.search(r"what can you|who are you|how can you help|what do you do", question):
        return decide("answer", "I help with vendors, expenses, access and company policies.")
    if re.search(r"^(?:hi|hello|hey|good (?:morning|evening))\b[\w ,]*[!.?]?$", question):
        return decide("answer", "Hello! Ask me about vendors, expenses, access or policies.")
    return decide("refuse", "I can only help with vendors, expenses, access and company policies.")


ROUTES: dict[str, Callable[[Prompt], Reply]] = {
    "vendor_exception": _vendor_exception,
    "expense_question": _expense_question,
    "access_request": _access_request,
    "policy_lookup": _policy_lookup,
    "small_talk": _small_talk,
}


def _mistaken(prompt: Prompt, right: Reply, dice: random.Random) -> Reply:
    """A wrong reply of a kind that models give: a wrong route, amount, or no proper answer."""
    if prompt.route is None:
        given = json.loads(right.text or "{}")
        wrong = dice.choice(sorted({*ROUTES} - {given["route"]}))
        return Reply(json.dumps({**given, "route": wrong}))
    if right.calls and "amount" in right.calls[0][1] and dice.random() < 0.5:
        name, arguments = right.calls[0]
        return call(name, **{**arguments, "amount": arguments["amount"] / 10})
    return decide(dice.choice(DECISIONS), "That depends; in general such things are looked at.")


def _results(messages: list[dict[str, Any]]) -> dict[str, Result]:
    """The newest result of each tool, its name taken from the call that it answers."""
    names = {
        made["id"]: made["function"]["name"]
        for message in messages
        for made in message.get("tool_calls") or []
    }
    found = {}
    for message in messages:
        if message.get("role") == "tool":
            name = names.get(message.get("tool_call_id"), "tool")
            content = _object(str(message.get("content")))
            found[name] = Result(name, content, "error" in content)
    return found


def _vendor(prompt: Prompt) -> str | None:
    if prompt.facts.get("vendor"):
        return str(prompt.facts["vendor"])
    named = re.search(
        r"\b(?:for|from|with|to|at) ((?:[A-Z][\w&]+)(?: [A-Z][\w&]+)*)", prompt.question
    )
    return named[1] if named else None


def _amount(prompt: Prompt) -> float | None:
    amount = prompt.facts.get("amount")
    if isinstance(amount, int | float):
        return float(amount)
    written = re.search(r"\$\s?([\d,]+(?:\.\d+)?)", prompt.question)
    return _number(written[1]) if written else None


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
