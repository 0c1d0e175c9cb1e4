"""Rules in words, as the pages' script says them."""

import json
import shutil
import subprocess

import pytest

from compliance_xai.study.folders import find_project_folder

SCRIPT = find_project_folder() / "book" / "_static" / "rule_words.js"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run(call, *arguments):
    code = "globalThis.window = {}; const words = require(process.argv[1]); "
    code += f"console.log(JSON.stringify(words.{call}(...JSON.parse(process.argv[2]))));"
    done = subprocess.run(["node", "-e", code, SCRIPT, json.dumps(arguments)], capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            "if(is(manhole.location,courtyard)),"
            "then(obligation(and(lessThanEqual(manhole.spacing,60 m),asPer(requirement,e2_2.5.6))))",
            "IF the location of the manhole is courtyard, "
            "THEN the spacing of the manhole MUST be at most 60 m and this is required by e2_2.5.6.",
        ),
        ("if(not(exist(lift))),then(obligation(exist(ramp)))", "IF there is no lift, THEN there MUST be a ramp."),
        ("if(exist(exitDoor)),then(has(a,b))", "IF there is an exit door, THEN the a has b."),
        ("then(prohibition(has(exitDoor,lock)))", "THEN the exit door MUST NOT have lock."),
        ("then(obligation(not(within(bed,kitchen))))", "THEN the bed MUST NOT be within kitchen."),
        ("then(permission(not(accept(operator,waste))))", "THEN the operator NEED NOT accept waste."),
        ("then(prohibition(not(complyWith(door,nzs_4520))))", "THEN the door MUST comply with nzs_4520."),
        (
            "if(not(and(exist(lift),exist(ramp)))),then(not(or(carry(beam,slab),after(work,test))))",
            "IF there is no lift or there is no ramp, THEN the beam does not carry slab "
            "and the work is not after test.",
        ),
        (
            "if(greaterThan(count(room.door),1)),then(obligation(is(room.riskGroup,or(sm,si))))",
            "IF the number of the door of the room is more than 1, THEN the risk group of the room MUST be sm or si.",
        ),
        (
            "then(define(floor.area,x1),equal(x0,'0.05 * x1'))",
            "THEN x1 stands for the area of the floor and x0 is equal to 0.05 * x1.",
        ),
    ],
)
def test_a_rule_as_a_sentence(rule, sentence):
    assert run("sentence", rule) == sentence


@pytest.mark.parametrize("text", ["", "no rule at all", "if(a", "if(a))", "(a)", "if('a)", "not(" * 5000 + ")" * 5000])
def test_a_text_that_is_no_rule_says_nothing(text):
    assert run("sentence", text) == run("tree", text) == ""


def test_markup_stays_text():
    assert run("sentence", "then(exist(<b>x</b>))") == "THEN there is <b>x</b>."


def test_a_rule_as_a_tree():
    rule = "if(exist(a)),then(obligation(and(has(a,b),define(sum(a.b),x0))))"
    lines = [
        "if",
        "  exist(a)",
        "then",
        "  obligation",
        "    and",
        "      has(a, b)",
        "      define",
        "        sum(a.b)",
        "        x0",
    ]
    assert run("tree", rule).split("\n") == lines


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (
            "riser.height = 185 mm, not has(building,lift), not breach: satisfies a, not b",
            "A building where the height of the riser is 185 mm, the building has no lift "
            "and nothing is breached satisfies the rule and not the other.",
        ),
        (
            "option gutter.airGap = 0 mm, not option asPer(requirement,l2_8), permitted: satisfies b, not a",
            "A building where the air gap of the gutter is 0 mm, this is not required by l2_8 "
            "and the option is permitted satisfies the other and not the rule.",
        ),
        ("any building: satisfies a, not b", "Any building satisfies the rule and not the other."),
        ("something else", ""),
    ],
)
def test_a_counterexample_in_words(case, says):
    assert run("building", case, "the rule", "the other") == says
