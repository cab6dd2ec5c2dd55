"""Every setting as a typed, validated model, read from YAML."""

from ncf_spark.config.evaluation import LAST_NIGHT
from ncf_spark.config.learning import Model, Sampling, Training
from ncf_spark.config.loading import load_config
from ncf_spark.config.publishing import Gates, Volume
from ncf_spark.config.sections import Section
from ncf_spark.config.settings import Config
from ncf_spark.config.tables import Source

__all__ = [
    "LAST_NIGHT",
    "Config",
    "Gates",
    "Model",
    "Sampling",
    "Section",
    "Source",
    "Training",
    "Volume",
    "load_config",
]
