"""docs/verbs.md says what the code does."""

from k8s.execute import READERS
from k8s.plan import PLANNERS
from k8s.undo import RULES
from k8s.verbs import VERBS
from tests.k8s.verbs_document import DOCUMENT, renewed


def test_the_document_has_the_tables_of_the_code() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == renewed(text), "run: python -m tests.k8s.verbs_document"


def test_only_verbs_that_are_judged_are_carried_out_and_only_changes_are_taken_back() -> None:
    assert READERS.keys() | PLANNERS.keys() <= VERBS.keys()
    assert not READERS.keys() & PLANNERS.keys()
    assert RULES.keys() <= PLANNERS.keys()
