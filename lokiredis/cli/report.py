"""The decision report of a completed task, from options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .params import json_object, one_reader, text_value, whole_result

_AnyCallable = TypeVar("_AnyCallable", bound=Callable[..., Any])

#: option -> (the usual key of a decision report, help)
_KEYS = {
    "why": ("why", "Why it was done this way."),
    "what": ("what", "What was done."),
    "trade_offs": ("tradeOffs", "What was given up for what."),
    "risks": ("risks", "What may go wrong."),
    "test_results": ("testResults", "What was tested, and how it went."),
    "next_steps": ("nextSteps", "What should follow."),
}


def takes_result(command: _AnyCallable) -> _AnyCallable:
    """--output, --report, --result and one option for each usual key of a report."""
    options = [
        click.option("--output", metavar="TEXT", help="What was produced: text, @FILE, or -."),
        click.option("--report", metavar="JSON", help="The decision report: a JSON object, @FILE, or -."),
        *(
            click.option("--" + name.replace("_", "-"), metavar="TEXT", help=f"Report, {key}: {help}")
            for name, (key, help) in _KEYS.items()
        ),
        click.option("--result", metavar="JSON", help="The whole result object in place of the above."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def result_from(options: dict[str, str | None]) -> dict[str, Any]:
    """``{"result": …}``, or ``output`` and ``decision_report``, as ``Queue.complete`` takes them."""
    one_reader(**{name: options[name] for name in ("output", "report", "result", *_KEYS)})
    given = [name for name in ("output", "report", *_KEYS) if options[name] is not None]
    result = options["result"]
    if result is not None:
        if given:
            raise click.UsageError(f"--result is the whole result; it excludes --{given[0].replace('_', '-')}")
        return {"result": whole_result(result, "--result")}
    output, report = options["output"], options["report"]
    found = {} if report is None else json_object(report, "--report")
    for name, (key, _) in _KEYS.items():
        value = options[name]
        if value is not None:
            found[key] = text_value(value, "--" + name.replace("_", "-"))
    return {
        "output": None if output is None else text_value(output, "--output"),
        "decision_report": found or None,
    }
