import time

import pytest

from compliance_xai.errors import InputError
from compliance_xai.study.yaml_files import MOST_DEPTH, parse, read

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"line \d+: expected at most 50,000 keys and values"),
        ("w: &w {a: *w}\n", "line 1: expected at most 50,000 keys and values"),
        ("w: &w [*w]\n", "line 1: expected at most"),
        ("a: " + "[" * 3000 + "]" * 3000, f"nested at most {MOST_DEPTH} deep"),
        ("a: " + "{a: " * 40 + "1" + "}" * 40, "nested at most"),
        ("- x\n" * 60_000, "line 50000: expected at most 50,000"),
        ("a: *nowhere\n", "found undefined alias 'nowhere'|found undefined alias"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1: expected plain YAML, found tag:yaml.org,2002:python"),
        ("a: !!python/name:os.system\n", "expected YAML, found could not determine a constructor"),
        ("? [a, b]\n: c\n", "expected a key that is text"),
        ("<<: {a: 1}\n1e3: 2\n", "line 2: expected a key that is text, found 1e3"),
        ("a: 1\nb: {c: 1, c: 2}\n", r"line 2, key 'b\.c': expected every key once, found a key .* on line 2"),
    ],
)
def test_what_would_take_for_ever_or_run_code_is_refused_at_once(text, message):
    started = time.process_time()
    with pytest.raises(InputError, match=message):
        parse(text, "a.yaml")
    assert time.process_time() - started < 5


def test_aliases_are_written_out_so_that_nothing_is_shared():
    values, lines = parse("a: &x {rank: 8, by: {s: 1}}\nb: *x\nc: [*x]\n", "a.yaml")
    values["a"]["by"]["s"] = 2
    assert values["b"] == values["c"][0] == {"rank": 8, "by": {"s": 1}}
    assert (lines["b",], lines["b", "rank"]) == (2, 1)


def test_values_follow_the_rules_of_yaml_1_2():
    text = "[1e-3, 1., .5, -.inf, 12, +3, -0, no, yes, True, ~, null, '', 2026-11-21, 010, 0x10, 1:30, 1_000]"
    assert parse(text, "a")[0] == [
        0.001, 1.0, 0.5, float("-inf"), 12, 3, 0, "no", "yes", True, None, None, "", "2026-11-21", "010", "0x10",
        "1:30", "1_000",
    ]  # fmt: skip


def test_a_file_of_another_kind_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "model.gguf"
    with path.open("wb") as stream:
        stream.truncate(240_000_000)
    with pytest.raises(InputError, match="expected a YAML file of at most 1 MB, found 240 MB"):
        read(path, example="a.yaml")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "a.yaml").write_bytes("\ufeffname: x\n".encode())
    assert read(tmp_path / "a.yaml", example="b.yaml")[0] == {"name": "x"}
