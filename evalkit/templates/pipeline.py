"""A small support desk: replace it with your own pipeline.

evalkit reads what happened from OpenTelemetry spans. `evalkit.step` is the shortest way to get
them; LangGraph, LlamaIndex, the OpenAI Agents SDK and others have instrumentations for the same.
"""

import evalkit

ORDERS = {"A-1": {"status": "delivered", "total": 40}, "A-2": {"status": "shipped", "total": 900}}


@evalkit.step("node")
def classify(question):
    return {"route": "refund" if "refund" in question.lower() else "order_status"}


@evalkit.step("tool")
def look_up_order(order_id):
    return ORDERS[order_id]


@evalkit.step("tool")
def refund_order(order_id, amount):
    return {"order_id": order_id, "refunded": amount}


@evalkit.step("node")
def escalate(reason):
    return f"A colleague will look at this: {reason}."


def answer(request, settings):
    """What suite.yaml calls: the case's `input`, and the suite's `settings`."""
    route = classify(request["question"])["route"]
    order_id = request["order_id"]
    order = look_up_order(order_id)
    if route == "order_status":
        return {"answer": f"Order {order_id} is {order['status']}."}
    if order["total"] > settings["refund_limit"]:
        return {"answer": escalate("the amount is over the limit")}
    refund_order(order_id, order["total"])
    return {"answer": f"{order['total']} USD for order {order_id} are on their way back."}
