"""Properties that every provider's spec must have."""

from __future__ import annotations

import msgspec
import pytest

from batchcap.providers import PROVIDERS
from batchcap.providers.registry import documented_rates
from tests.third_provider.spec import SPEC


@pytest.mark.parametrize(
    "change",
    [{"read": "acme.other"}, {"write": "acme.other"}, {"learned": frozenset({"acme.other"})}],
)
def test_spec_with_a_bucket_without_rate_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"acme: no rate for acme\.other"):
        msgspec.structs.replace(SPEC, **change)


@pytest.mark.parametrize("name", PROVIDERS)
def test_registry_names_each_spec_as_it_names_itself(name: str) -> None:
    assert PROVIDERS[name].name == name


def test_documented_rates_of_all_providers_are_those_of_their_documents() -> None:
    assert documented_rates(PROVIDERS.values()) == {
        "mux.write": 1.0,
        "mux.read": 5.0,
        "heygen": 5.0,
    }


def test_buckets_of_two_providers_are_never_the_same() -> None:
    buckets = [bucket for spec in (*PROVIDERS.values(), SPEC) for bucket in spec.rates]
    assert len(buckets) == len(set(buckets))
