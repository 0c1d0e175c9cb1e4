import pytest

from compliance_xai.errors import InputError
from compliance_xai.study.folders import find_project_folder
from compliance_xai.study.ladders import Rung
from compliance_xai.study.settings import Study
from compliance_xai.study.settings_reference import find_settings, format_page, list_settings
from compliance_xai.study.strategy_settings import StrategySettings
from compliance_xai.study.yaml_files import parse

EVERY = [setting for group in list_settings() for setting in group.settings]


def test_the_page_in_the_book_is_the_present_one():
    page = find_project_folder() / "book" / "settings.md"
    assert page.read_text(encoding="utf-8") == format_page(), "compliance-xai study settings --page > book/settings.md"


@pytest.mark.parametrize("setting", EVERY, ids=[setting.path for setting in EVERY])
def test_every_setting_has_a_meaning_allowed_values_and_an_example_that_is_yaml(setting):
    assert setting.meaning.endswith((".", ")"))
    assert setting.allowed
    value = parse(setting.example, "example")[0][setting.key]
    assert value is not None
    assert "\n" not in setting.example


def test_settings_of_studies_strategies_and_rungs_are_all_there():
    for model, group in ((Study, ""), (StrategySettings, "strategies.NAME"), (Rung, "ladder.rungs[]")):
        listed = {setting.key for setting in EVERY if setting.group == group}
        inner = {part.key.removeprefix(group).strip(".").split(".")[0] for part in list_settings()}
        assert set(model.__pydantic_fields__) <= listed | inner


def test_settings_are_found_by_key_and_by_group():
    assert find_settings("search")[0].path == "search.trials"
    assert "strategies.NAME.rank" in [setting.path for setting in find_settings("rank")]
    with pytest.raises(InputError, match="Did you mean 'attribution"):
        find_settings("atribution.clauses")
