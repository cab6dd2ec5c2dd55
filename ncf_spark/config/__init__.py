"""Every setting as a typed, validated model, read from YAML."""

from ncf_spark.config.learning import Model, Sampling, Training
from ncf_spark.config.loading import ConfigError, load_config
from ncf_spark.config.sections import Section
from ncf_spark.config.settings import Config
from ncf_spark.config.tables import Source

__all__ = [
    "Config",
    "ConfigError",
    "Model",
    "Sampling",
    "Section",
    "Source",
    "Training",
    "load_config",
]
