"""How models are judged, and what they are compared with."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, NonNegative, Section


class ItemItem(Section):
    """Item-item similarity: the cosine of the items' users."""

    neighbours: Count
    """Neighbours kept for each item."""
    shrinkage: NonNegative
    """Added to the product of the norms, so that rare pairs count less."""


class Als(Section):
    """Spark's ALS with implicit preferences."""

    ranks: Annotated[list[Count], Field(min_length=1)]
    """Width of its vectors. Several values make several models: `als_8`, `als_16` and so on."""
    reg_param: NonNegative
    """Regularisation."""
    alpha: NonNegative
    """Confidence of a positive."""
    iterations: Count
    """Iterations."""

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The settings of each model, by its name: als, or als_<rank> if there are several."""
        others = self.model_dump(exclude={"ranks"})
        if len(self.ranks) == 1:
            return {"als": {**others, "rank": self.ranks[0]}}
        return {f"als_{rank}": {**others, "rank": rank} for rank in self.ranks}


# The name of last night's model among tonight's.
LAST_NIGHT = "last_night"

# With fewer, the 2.5th and 97.5th percentiles are almost the minimum and the maximum.
_MIN_SAMPLES = 50

# Of a compared model, which has a folder of this name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Evaluation(Section):
    """How models are judged, and what they are compared with."""

    ks: Annotated[list[Count], Field(min_length=1)]
    """Cut-offs of the metrics."""
    num_negatives: Count
    """Items that each holdout item is ranked against in protocol `sampled_99`."""
    bootstrap_samples: Annotated[int, Field(ge=0)]
    """Bootstrap samples of users for the 95 % intervals, at least 50. 0: no intervals."""
    segment_bounds: Annotated[list[Count], Field(min_length=2, max_length=2)]
    """Users with at most 10 train items are "few", with at most 50 "some", above that "many"."""
    baselines: list[Literal["popularity", "item_item", "als"]]
    """Baselines to compare with."""
    item_item: ItemItem
    als: Als
    compared: dict[str, dict[str, Any]]
    """Further models to train and judge in the same run, by name, each with the settings that
    differ, for example `{mf_64: {model.kind: mf, model.factors: 64}}`.

    `--set` replaces all of them.
    """
    judge_last_night: bool
    """Judge the published model too, on tonight's holdout and the users that it knows, as
    `last_night`.
    """

    @property
    def baseline_models(self) -> dict[str, str]:
        """The baseline that each baseline model belongs to, by the model's name: als_8 → als."""
        found: dict[str, str] = {}
        for baseline in self.baselines:
            names = self.als.models if baseline == "als" else [baseline]
            found |= dict.fromkeys(names, baseline)
        return found

    @model_validator(mode="after")
    def _fits_together(self) -> Evaluation:
        low, high = self.segment_bounds
        if low >= high:
            raise ValueError(f"segment_bounds is {self.segment_bounds}; the first must be smaller")
        if 0 < self.bootstrap_samples < _MIN_SAMPLES:
            raise ValueError(
                f"bootstrap_samples is {self.bootstrap_samples}; set at least {_MIN_SAMPLES}, "
                "because fewer give no 95 % interval, or 0 for no intervals"
            )
        baselines = {"popularity", "item_item", "als", *self.als.models, LAST_NIGHT}
        taken = baselines & set(self.compared)
        if taken:
            raise ValueError(
                f"compared: {sorted(taken)} are names of baselines or of last night's model; "
                "choose other names"
            )
        refused = [name for name in self.compared if not _NAME.fullmatch(name)]
        if refused:
            raise ValueError(
                f"compared: {refused} cannot be names of models, which become names of folders; "
                "use up to 100 letters, digits, '.', '_' and '-', starting with a letter or digit"
            )
        return self
