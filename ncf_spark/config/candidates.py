"""Whether the candidates for publishing can be compared as the settings say."""

from __future__ import annotations

from ncf_spark.config.evaluation import Evaluation
from ncf_spark.config.learning import Model


def problems_of_candidates(model: Model, evaluation: Evaluation) -> list[str]:
    """What is wrong with model.candidates and model.selection; nothing without candidates."""
    if not model.candidates:
        return []
    problems = []
    made = [model.kind, *evaluation.compared, *evaluation.baseline_models]
    if unknown := [name for name in model.candidates if name not in made]:
        problems.append(
            f"model.candidates: {unknown} are no models of the night, which has {made}; name them "
            "in evaluation.baselines or evaluation.compared too"
        )
    if len(set(model.candidates)) < len(model.candidates):
        problems.append(f"model.candidates: {model.candidates} names one twice; keep one of them")
    protocols = ["full", f"sampled_{evaluation.num_negatives}"]
    if model.selection.protocol not in protocols:
        problems.append(
            f"model.selection.protocol is {model.selection.protocol}, but judged is by "
            f"{' and '.join(protocols)}; take one of them, or change evaluation.num_negatives"
        )
    if model.selection.k not in evaluation.ks:
        problems.append(
            f"model.selection.k is {model.selection.k}, but evaluation.ks is {evaluation.ks}; "
            "take one of them, or add it there"
        )
    if not evaluation.bootstrap_samples:
        problems.append(
            "model.candidates are compared by their intervals, but evaluation.bootstrap_samples is "
            "0; set it to 50 or more"
        )
    return problems
