import time

from ncf_spark.training.progress import progress_line, show_progress, write_history

SPEED = {"samples": 3_000_000, "unresolved": 0}
FIRST = {"phase": "neumf", "epoch": 1, "loss": 0.5, "seconds": 4.0, **SPEED}
SECOND = {"phase": "neumf", "epoch": 2, "loss": 0.28731, "seconds": 6.0, **SPEED}
TWENTY = {"neumf": 20}


def test_a_line_tells_of_the_epoch_its_loss_speed_metrics_and_the_time_left():
    last = {**SECOND, "hr@10": 0.61, "ndcg@10": 0.34567}
    # 18 epochs of 5 seconds are left.
    assert progress_line([FIRST, last], TWENTY) == (
        "neumf epoch 2/20, loss 0.2873, 500,000 samples/s, hr@10 0.6100, ndcg@10 0.3457, "
        "1 min 30 s left"
    )


def test_a_line_shows_the_cut_off_at_10_alone():
    last = {**FIRST, "hr@5": 0.1, "ndcg@10": 0.2, "hr@100": 0.3}
    assert progress_line([last], {"neumf": 1}) == (
        "neumf epoch 1/1, loss 0.5000, 750,000 samples/s, ndcg@10 0.2000, 0 min 0 s left"
    )


def test_a_line_without_evaluation_names_no_metric():
    assert progress_line([FIRST], {"neumf": 1}) == (
        "neumf epoch 1/1, loss 0.5000, 750,000 samples/s, 0 min 0 s left"
    )


def test_the_model_as_it_was_joined_has_a_line_of_its_own():
    joined = {"phase": "neumf", "epoch": 0, "hr@5": 0.3, "ndcg@10": 0.361}
    assert progress_line([joined], TWENTY) == "neumf before its first epoch, ndcg@10 0.3610"
    assert progress_line([joined, FIRST], TWENTY) == progress_line([FIRST], TWENTY)


def test_the_time_left_is_that_of_the_phase_by_its_own_epochs():
    # A phase that its patience ended after one of its three epochs; those of the next take less.
    before = {**FIRST, "phase": "gmf", "seconds": 100.0}
    history = [before, {**FIRST, "phase": "mlp", "seconds": 2.0}]
    history.append({**SECOND, "phase": "mlp", "seconds": 4.0})
    line = progress_line(history, {"gmf": 3, "mlp": 30, "neumf": 20})
    # 28 epochs of 3 seconds
    assert line == "mlp epoch 2/30, loss 0.2873, 750,000 samples/s, 1 min 24 s left"


class Lines(list[str]):
    """The lines that were told, and the record that came with each."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict] = []

    def emit(self, line: str, extra: dict[str, dict]) -> None:
        self.append(line)
        self.records.append(extra["numbers"])


def test_the_driver_sees_a_line_for_each_epoch_once(tmp_path):
    lines = Lines()
    history = [{**FIRST, "phase": "gmf"}, FIRST, SECOND]
    with show_progress(f"file://{tmp_path}", {"gmf": 1, "neumf": 2}, lines.emit):
        for count in (1, 2, 3):
            write_history(f"file://{tmp_path}", history[:count])
    assert lines.records == history
    expected = ["gmf epoch 1/1", "neumf epoch 1/2", "neumf epoch 2/2"]
    assert [line.split(",")[0] for line in lines] == expected


def test_epochs_that_were_done_before_have_no_line(tmp_path):
    lines = Lines()
    write_history(f"file://{tmp_path}", [FIRST])
    with show_progress(f"file://{tmp_path}", {"neumf": 2}, lines.emit, done=1):
        write_history(f"file://{tmp_path}", [FIRST, SECOND])
    assert [line.split(",")[0] for line in lines] == ["neumf epoch 2/2"]


def test_lines_come_while_the_workers_still_train(tmp_path, monkeypatch):
    monkeypatch.setattr("ncf_spark.training.progress._SECONDS_BETWEEN_LOOKS", 0.01)
    lines = Lines()
    with show_progress(f"file://{tmp_path}", {"neumf": 2}, lines.emit):
        write_history(f"file://{tmp_path}", [FIRST])
        for _ in range(500):
            if lines:
                break
            time.sleep(0.01)
        assert len(lines) == 1


def test_no_history_means_no_line(tmp_path):
    lines = Lines()
    with show_progress(f"file://{tmp_path}/nothing", {"neumf": 2}, lines.emit):
        pass
    assert lines == []


def test_a_history_that_cannot_be_read_ends_the_lines_with_a_warning(tmp_path, caplog):
    (tmp_path / "history.json").write_text('[{"phase": "neumf"')
    with show_progress(f"file://{tmp_path}", TWENTY, Lines().emit):
        pass
    [message] = caplog.messages
    assert message.startswith("progress is no longer shown; training continues: ")
    assert "history.json" in message
