"""Every setting as a typed, validated model, read from YAML."""

from ncf_spark.config.loading import ConfigError, load_config
from ncf_spark.config.settings import Config, Section, Source

__all__ = ["Config", "ConfigError", "Section", "Source", "load_config"]
