"""Hypothesis profiles: CI draws the same examples in every run. No process outlives its test."""

import os

import pytest
from hypothesis import settings
from problems import REGULARIZERS, WITH_CRITICS
from processes import end_all

settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("dev", max_examples=50, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(params=REGULARIZERS)
def regularizer(request):
    """A regularizer of every kind."""
    return REGULARIZERS[request.param]()


@pytest.fixture(params=WITH_CRITICS)
def with_critics(request):
    """A regularizer of every kind that has critics."""
    return REGULARIZERS[request.param]()


@pytest.fixture
def short_audits(monkeypatch):
    """Audits whose critics train for a quarter of their steps: for tests of what is not accuracy."""
    monkeypatch.setattr("mireg.auditing.crossfit.FEWEST_STEPS", 150)
    monkeypatch.setattr("mireg.auditing.crossfit.EPOCHS", 0)


@pytest.fixture(autouse=True)
def no_process_outlives_its_test():
    yield
    end_all()
