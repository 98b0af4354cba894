"""The bar's parts add up to the score."""

import pytest

from pipeline.search.answer import Hit, ShownPassage, SignalExplanation
from web.score_bar import BAR_WIDTH, bars_of


def _hit(contributions: dict[str, float], regularization: float, exactness: float) -> Hit:
    return Hit(
        rank=1,
        doc_id="d",
        title="",
        url=None,
        score=sum(contributions.values()) + regularization + exactness,
        probability=0.5,
        passage=ShownPassage("", 0, 0),
        highlights=[],
        metadata={},
        names=[],
        explanation={
            name: SignalExplanation(1.0, value, 1.0, value, 1)
            for name, value in contributions.items()
        },
        regularization=regularization,
        exactness=exactness,
    )


@pytest.mark.parametrize("regularization", [0.0, 0.1, -0.15])
@pytest.mark.parametrize("exactness", [0.0, 6.0])
def test_the_widths_add_up_to_the_score(regularization: float, exactness: float) -> None:
    hits = [
        _hit({"bm25": 0.3, "bert": 0.2, "tfidf": 0.0}, regularization, exactness),
        _hit({"bm25": 0.1, "bert": 0.4, "tfidf": 0.1}, 0.05, 0.0),
    ]
    for hit, bar in zip(hits, bars_of(hits), strict=True):
        gained = [segment for segment in bar.segments if not segment.taken]
        taken = [segment for segment in bar.segments if segment.taken]
        parts = {part.name: part.contribution for part in bar.parts}
        assert sum(parts.values()) == pytest.approx(hit.score)
        # One scale within a bar: every width over its part is the same.
        (unit, *others) = [segment.width / parts[segment.name] for segment in gained]
        assert others == pytest.approx([unit] * len(others), rel=1e-3)
        visible = sum(s.width for s in gained) - sum(s.width for s in taken)
        assert visible == pytest.approx(hit.score * unit, abs=0.01)
        places = [segment.x for segment in gained]
        assert places == sorted(places)
        assert all(s.x >= 0 and s.x + s.width <= BAR_WIDTH + 0.01 for s in bar.segments)
        assert f"Score {hit.score:.3f}" in bar.text


def test_hits_without_an_exact_match_share_one_scale() -> None:
    hits = [
        _hit({"bm25": 0.3}, 0.0, 6.0),
        _hit({"bm25": 0.4}, 0.0, 0.0),
        _hit({"bm25": 0.2}, 0.0, 0.0),
    ]
    bars = bars_of(hits)
    assert bars[1].segments[0].width == pytest.approx(BAR_WIDTH)
    assert bars[2].segments[0].width == pytest.approx(BAR_WIDTH / 2)


def test_a_hit_with_nothing_to_show_has_an_empty_bar() -> None:
    (bar,) = bars_of([_hit({"bm25": 0.0}, -0.1, 0.0)])
    assert all(segment.width == 0 for segment in bar.segments)
