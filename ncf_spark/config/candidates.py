"""Checks of model.candidates and model.selection."""

from __future__ import annotations

from ncf_spark.config.evaluation import Evaluation
from ncf_spark.config.learning import Model


def problems_of_candidates(model: Model, evaluation: Evaluation) -> list[str]:
    """What is wrong with model.candidates and model.selection; empty without candidates."""
    if not model.candidates:
        return []
    problems = []
    made = [model.kind, *evaluation.compared, *evaluation.baseline_models]
    if unknown := [name for name in model.candidates if name not in made]:
        problems.append(
            f"model.candidates: {unknown} are not among the models of the night, {made}; add them "
            "to evaluation.baselines or evaluation.compared"
        )
    if len(set(model.candidates)) < len(model.candidates):
        problems.append(f"model.candidates: {model.candidates} has a name twice; remove one")
    protocols = ["full", f"sampled_{evaluation.num_negatives}"]
    if model.selection.protocol not in protocols:
        problems.append(
            f"model.selection.protocol is {model.selection.protocol}, but models are judged by "
            f"{' and '.join(protocols)}; choose one of these, or change evaluation.num_negatives"
        )
    if model.selection.k not in evaluation.ks:
        problems.append(
            f"model.selection.k is {model.selection.k}, but evaluation.ks is {evaluation.ks}; "
            "choose one of these, or add it there"
        )
    if not evaluation.bootstrap_samples:
        problems.append(
            "model.candidates are compared by their 95 % intervals, but "
            "evaluation.bootstrap_samples is 0; set it to 50 or more"
        )
    return problems
