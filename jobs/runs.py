"""Lists the runs of a warehouse; publishes one of them again, or removes a lock left behind."""

from ncf_spark.config import load_config
from ncf_spark.night import STEPS
from ncf_spark.pipeline.command_line import base_parser, reporting
from ncf_spark.pipeline.history import clear_locks, describe_runs, publish_again
from ncf_spark.storage.warehouse import Warehouse


def main() -> None:
    """Needs no Spark session."""
    parser = base_parser("runs", __doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--publish", metavar="RUN", help="point readers at this complete run")
    action.add_argument(
        "--unlock", action="store_true", help="remove the lock of a job that no longer runs"
    )
    arguments = parser.parse_args()
    with reporting():
        config = load_config(arguments.config, arguments.set)
        warehouse = Warehouse(config.storage.warehouse)
        if arguments.unlock:
            print(clear_locks(warehouse))
        elif arguments.publish:
            print(publish_again(warehouse, arguments.publish, config.storage.lock_expires))
        else:
            print(describe_runs(warehouse, list(STEPS)))


if __name__ == "__main__":
    main()
