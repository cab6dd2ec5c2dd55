import time

from ncf_spark.training.progress import followed, progress_line, write_history

FIRST = {"epoch": 1, "loss": 0.5, "samples": 3_000_000, "seconds": 4.0, "unresolved": 0}
SECOND = {"epoch": 2, "loss": 0.28731, "samples": 3_000_000, "seconds": 6.0, "unresolved": 2}


def test_a_line_tells_of_the_epoch_its_loss_speed_metrics_and_the_time_left():
    last = {**SECOND, "hr@10": 0.61, "ndcg@10": 0.34567}
    # 18 epochs of 5 seconds are left.
    assert progress_line([FIRST, last], 20) == (
        "epoch 2/20, loss 0.2873, 500,000 samples/s, hr@10 0.6100, ndcg@10 0.3457, 1 min 30 s left"
    )


def test_a_line_without_evaluation_names_no_metric():
    assert progress_line([FIRST], 1) == (
        "epoch 1/1, loss 0.5000, 750,000 samples/s, 0 min 0 s left"
    )


def test_the_driver_sees_a_line_for_each_epoch_once(tmp_path):
    lines: list[str] = []
    with followed(f"file://{tmp_path}", 2, lines.append):
        write_history(f"file://{tmp_path}", [FIRST])
        write_history(f"file://{tmp_path}", [FIRST, SECOND])
    assert [line.split(",")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]


def test_lines_come_while_the_workers_still_train(tmp_path, monkeypatch):
    monkeypatch.setattr("ncf_spark.training.progress._SECONDS_BETWEEN_LOOKS", 0.01)
    lines: list[str] = []
    with followed(f"file://{tmp_path}", 2, lines.append):
        write_history(f"file://{tmp_path}", [FIRST])
        for _ in range(500):
            if lines:
                break
            time.sleep(0.01)
        assert len(lines) == 1


def test_no_history_means_no_line(tmp_path):
    lines: list[str] = []
    with followed(f"file://{tmp_path}/nothing", 2, lines.append):
        pass
    assert lines == []
