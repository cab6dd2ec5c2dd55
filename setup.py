"""Packaging of ncf-spark; exact pins stand in conf/constraints.txt, tools in pyproject.toml."""

from setuptools import find_packages, setup

INSTALL_REQUIRES = [
    # Every table transform, and the executors that training and scoring run on.
    "pyspark>=3.5,<4.1",  # 4.1 asks for pyarrow 15
    # Parquet outside Spark (manifests, vectors) and the batches of mapInArrow.
    "pyarrow>=14.0.1,<15",  # petastorm 0.12.1 breaks on 15; 14.0.1 closed a code-execution hole
    # Streams the training shards from Parquet into torch.
    "petastorm==0.12.1",  # 0.13 asks for setuptools < 70, which torch refuses
    # Scoring, indexes and metrics; 2 has another binary interface than pyarrow 14 was built for.
    "numpy<2",
    # Record batches of petastorm and pyspark, and small result tables.
    "pandas<3",
    # The model and its training loop. An installed torch is kept as it is.
    "torch>=2.0",
    # Model weights on disk without pickle.
    "safetensors",
    # Configuration: every setting typed, validated, all errors at once.
    "pydantic>=2.7,<3",
    # Configuration files.
    "PyYAML",
    # The pictures of the evaluation's report, and those of the notebooks.
    "matplotlib>=3.8",
    # The page of the evaluation's report, which escapes whatever text it shows.
    "Jinja2>=3.1",
    # The night's figures as a text that Prometheus reads.
    "prometheus_client",
    # petastorm imports distutils, which Python 3.12 has through setuptools only.
    'setuptools; python_version >= "3.12"',
]

EXTRAS_REQUIRE = {
    # Distributed training. Horovod compiles against the torch it finds: build it as .ci/setup does
    # (toolchain file, no build isolation) before asking for this extra; its other needs follow.
    "horovod": ["horovod==0.28.1"],
    # Each night as a run of an MLflow server or store: monitoring.mlflow_tracking_uri.
    "mlflow": ["mlflow-skinny>=2.10,<4"],
    # What a campaign brought: jobs/measure_campaign.py. Neither nights nor executors need them.
    "measure": [
        "statsmodels>=0.14.2",  # the two-proportion test, and intervals of differences and ratios
        "scipy>=1.10",  # the chi-square test of the arms' sizes
    ],
    "test": [
        "pytest",
        "pytest-xdist",  # a test process a core
        "filelock",  # the night that these processes share is made once
        "psutil",  # finds the worker that a test kills
        "hypothesis",  # properties: splits, negatives, top-k
        "nbclient",  # runs the notebooks
        "nbformat",
        "ipykernel",
        "ruff",
        "mypy",
        "types-PyYAML",
        "import-linter",  # holds the layers of the package
        "mlflow-skinny",  # what the extra mlflow brings, on its local file store
        "statsmodels",  # what the extra measure brings
        "scipy",
        "ir-measures",  # the reference that our ranking metrics are compared with
        "duckdb",  # a second engine: reads campaign files, and preparation is timed against it
        "venv-pack",  # packs .venv for executors: make environment, and the test of a cluster
    ],
}

setup(
    name="ncf-spark",
    version="0.1.0",
    description="Nightly NeuMF recommendations for email campaigns, on Spark and Horovod",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["ncf_spark", "ncf_spark.*"]),
    package_data={"ncf_spark.evaluation.page": ["page.html.j2"]},
    python_requires=">=3.10,<3.13",
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    zip_safe=False,
)
