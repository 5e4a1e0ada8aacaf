"""Recipes of every quantizer, alone and with a sketch: frozen, and written as they are read."""

import dataclasses
import pickle

import pytest

from tests.quantizers.test_contract import FLOATS, codecs, fitted
from vqindex.errors import SpecError
from vqindex.factory import parse


@codecs
def test_recipes_are_frozen_and_pickle(spec):
    recipe, codec = parse(spec, "ip", 3), fitted(spec, 7)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    parts = [recipe, recipe.quantizer, recipe.transform, codec, codec.quantizer, codec.transform]
    parts += [recipe.sketch, codec.sketch] if recipe.sketch else []
    for part in parts + ([recipe.coarse, codec.coarse] if recipe.coarse else []):
        name = next((f.name for f in dataclasses.fields(part)), "anything")
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, None)


@codecs
def test_specs_name_the_recipe(spec):
    for before in ("", "None,", "Haar,", "Hadamard(rounds=3),"):
        for after in ("", ",Keep(f16)", ",Keep(f32)"):
            recipe = parse(f"{before}{spec}{after}", "cosine", 4)
            assert parse(recipe.spec, "cosine", 4) == recipe
            assert recipe.spec.endswith(f"{spec}{after}")


@pytest.mark.parametrize(
    ("given", "spec", "sample_size"),
    [
        ("Hadamard,EDEN4", "EDEN4", 1024),
        ("EDEN4(center=no)", "EDEN4(center=no)", 0),
        ("None,F32,Keep(f16)", "F32,Keep(f16)", 0),
        ("Haar,TQprod3 , Keep(f32)", "Haar,TQ2+QJL,Keep(f32)", 0),
        ("TQ1(center=yes)+QJL8", "TQ1(center=yes)+QJL8", 1024),
    ],
)
def test_recipes(given, spec, sample_size):
    recipe = parse(given, "ip", 0)
    assert (recipe.spec, recipe.sample_size) == (spec, sample_size)


@pytest.mark.parametrize("spec", FLOATS)
def test_float_rows_take_no_sketch(spec):
    with pytest.raises(SpecError, match="takes no sketch"):
        parse(f"{spec}+QJL", "ip", 0)
