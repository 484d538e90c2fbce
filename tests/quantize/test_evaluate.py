"""Accuracy and paired statistics."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.report.accuracy import agreement, compare, evaluate, mcnemar


def test_evaluate_counts_top1_and_top5() -> None:
    # labels: best, third best, sixth best of six
    logits = np.array([5, 4, 3, 2, 1, 0])
    result = evaluate([logits] * 3, np.array([0, 2, 5]))
    assert (result.images, result.predictions.tolist()) == (3, [0, 0, 0])
    assert result.top1 == pytest.approx(100 / 3) and result.top5 == pytest.approx(200 / 3)
    assert evaluate([logits], None).top1 is None


def test_compare_by_hand() -> None:
    # 100 pictures of class 1: the reference is right on 60, the model on 58 of these and on 1 other; 3 differ
    labels = np.ones(100, int)
    reference = np.array([1] * 60 + [0] * 40)
    model = np.array([1] * 58 + [0] * 2 + [1] + [0] * 39)
    result = compare(model, reference, labels)
    assert (result.unchanged, result.top1, result.reference_top1) == (97, 59, 60)
    assert result.difference == pytest.approx(-1)
    # differences: two -1, one +1, 97 zeros: variance (3 - 100 * 0.01**2) / 99 = 0.0302, error 0.01738, 1.96 of it 3.41
    assert result.difference_interval == pytest.approx((-1 - 3.406, -1 + 3.406), abs=0.01)
    assert result.unchanged_interval == pytest.approx((91.55, 98.97), abs=0.02)  # Wilson's interval of 97 in 100


def test_compare_refuses_different_numbers() -> None:
    with pytest.raises(InputError):
        compare(np.zeros(3), np.zeros(4), np.zeros(4))


def test_mcnemar_by_hand() -> None:
    # one of ten alike: (1 + 10) / 2**10, on both sides
    assert mcnemar(1, 9) == mcnemar(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar(2, 1) == mcnemar(3, 3) == mcnemar(0, 0) == 1
    assert mcnemar(0, 2000) < 1e-300 or mcnemar(0, 2000) == 0


def test_compare_counts_what_only_one_model_gets_right() -> None:
    labels = np.zeros(12, int)
    model, reference = np.array([0] * 9 + [1] * 3), np.array([1] * 8 + [0] * 2 + [1] * 2)
    found = compare(model, reference, labels)
    assert (found.won, found.lost) == (8, 1)
    assert found.p_value == pytest.approx(2 * (1 + 9) / 2**9)
    assert agreement(model, reference)[0] == pytest.approx(100 * 3 / 12)
