"""Writes the answer to introspection.graphql in GraphQL's schema language."""

import json
import sys

BUILT_IN = {"String", "Int", "Float", "Boolean", "ID"}


def name_of(of):
    match of["kind"]:
        case "NON_NULL":
            return name_of(of["ofType"]) + "!"
        case "LIST":
            return "[" + name_of(of["ofType"]) + "]"
        case _:
            return of["name"]


def value(one):
    default = one.get("defaultValue")
    return f"{one['name']}: {name_of(one['type'])}" + (f" = {default}" if default is not None else "")


def field(one):
    args = ", ".join(value(arg) for arg in one["args"])
    return f"  {one['name']}{f'({args})' if args else ''}: {name_of(one['type'])}"


def definition(one):
    name = one["name"]
    match one["kind"]:
        case "SCALAR":
            return [f"scalar {name}"]
        case "ENUM":
            return [f"enum {name} {{", *(f"  {member['name']}" for member in one["enumValues"]), "}"]
        case "INPUT_OBJECT":
            return [f"input {name} {{", *(f"  {value(part)}" for part in one["inputFields"]), "}"]
        case kind:
            word = {"OBJECT": "type", "INTERFACE": "interface"}[kind]
            names = " & ".join(sorted(interface["name"] for interface in one["interfaces"] or []))
            head = f"{word} {name}{f' implements {names}' if names else ''} {{"
            return [head, *(field(part) for part in one["fields"]), "}"]


schema = json.load(sys.stdin)["__schema"]
types = sorted(schema["types"], key=lambda one: one["name"])
for one in types:
    if one["name"] not in BUILT_IN and not one["name"].startswith("__"):
        print("\n".join(definition(one)), end="\n\n")
print("schema {\n  query: Query\n}")
