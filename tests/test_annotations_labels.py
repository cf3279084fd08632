"""What labels in outline files come to mean."""

import pickle

import pytest

from annotations import EXCLUSION, IGNORE, LabelRules
from annotations.errors import UsageError


@pytest.mark.parametrize(
    "text", ["Tumor", "tumour", "TUMOUR", " tumor ", "Tumor  Region", "_0", "_1", "metastasis"]
)
def test_aliases_mean_tumour_whatever_their_case_and_blanks(text: str) -> None:
    assert LabelRules().label_of([text]) == "tumour"


@pytest.mark.parametrize("text", ["_2", "Exclusion", "hole", "Normal in tumour", "Negative"])
def test_exclusions(text: str) -> None:
    assert LabelRules().label_of([text]) == EXCLUSION


@pytest.mark.parametrize("text", ["Ignore*", "ignore", "Artefact", "artifact"])
def test_ignored_regions(text: str) -> None:
    assert LabelRules().label_of([text]) == IGNORE


def test_an_unknown_label_stays_as_it_is() -> None:
    assert LabelRules().label_of([" BALT  hyperplasia "]) == "BALT hyperplasia"


def test_the_first_known_class_decides_and_else_the_first() -> None:
    rules = LabelRules()
    assert rules.label_of(["DCIS", "Tumor"]) == "tumour"
    assert rules.label_of(["DCIS", "in situ"]) == "DCIS"
    assert rules.label_of(["", "Tumor"]) == "tumour"


@pytest.mark.parametrize("name", ["", "Annotation 0", "annotation 12", "_2", "7", "Region 3"])
def test_a_name_that_a_program_gave_says_nothing(name: str) -> None:
    assert LabelRules().label_of([], name) == "tumour"
    assert LabelRules(unlabelled=None).label_of([], name) is None
    assert LabelRules(unlabelled="gland").label_of(["  "], name) == "gland"


def test_a_name_counts_without_its_number_and_only_without_a_class() -> None:
    rules = LabelRules(unlabelled=None)
    assert rules.label_of([], "Tumor3") == "tumour"
    assert rules.label_of([], "necrosis 2") == "necrosis 2"
    assert rules.label_of(["Stroma"], "Tumor3") == "Stroma"


def test_own_rules() -> None:
    rules = LabelRules(classes={"gland": ("Gland", "drüse")}, exclusion=("lumen",), ignore=())
    assert rules.label_of(["DRÜSE"]) == "gland"
    assert rules.label_of(["Lumen"]) == EXCLUSION
    assert rules.label_of(["exclusion"]) == EXCLUSION
    assert rules.label_of(["ignore"]) == IGNORE
    assert rules.label_of(["Tumor"]) == "Tumor"


def test_one_alias_cannot_mean_two_things() -> None:
    with pytest.raises(UsageError, match="'hole' is given two meanings"):
        LabelRules(classes={"cavity": ("Hole",)}, exclusion=("hole",))


@pytest.mark.parametrize("label", ["Exclusion", "ignore"])
def test_what_is_no_class_cannot_be_one(label: str) -> None:
    with pytest.raises(UsageError, match=f"'{label}' cannot be a class: list its aliases"):
        LabelRules(classes={label: ()})


def test_rules_survive_pickling() -> None:
    rules = LabelRules(classes={"gland": ("g",)}, unlabelled=None)
    assert pickle.loads(pickle.dumps(rules)) == rules  # noqa: S301
