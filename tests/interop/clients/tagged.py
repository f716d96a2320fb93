"""What a Python client holds, as JSON that keeps Python's types apart; the calls on standard input, a line for each."""

import json
import sys


def tagged(value):
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": value}
    if isinstance(value, dict):
        return {"dict": {key: tagged(item) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return [tagged(item) for item in value]
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    raise TypeError(f"a value of type {type(value).__name__}")


def calls():
    return [(call["operation"], dict(call["params"])) for call in json.load(sys.stdin)]


def tell(operation, **outcome):
    print(json.dumps({"operation": operation, **outcome}, ensure_ascii=False), flush=True)
