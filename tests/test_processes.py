"""A process of a test that is late is ended, and says what it printed until then."""

import sys
import time

import processes
import pytest

PROGRAM = "import sys, time\nprint('said', flush=True)\nprint('why', file=sys.stderr, flush=True)\n"


def test_a_program_gives_what_it_printed():
    assert processes.run(sys.executable, "-c", PROGRAM) == ("said\n", "why\n")


@pytest.mark.parametrize(
    ("end", "options", "message"),
    [
        ("time.sleep(100)", {"timeout": 3}, "had not ended after 3 s"),
        ("sys.exit(5)", {}, "ended with 5"),
        ("", {"code": 1}, "ended with 0"),
    ],
)
def test_a_program_that_is_late_or_fails_says_what_it_printed(end, options, message):
    start = time.monotonic()
    with pytest.raises(AssertionError, match=rf"{message}\n.*\nsaid\n[\s\S]*\nwhy\n"):
        processes.run(sys.executable, "-c", PROGRAM + end, **options)
    assert time.monotonic() - start < 50


def wait(rank, folder):
    processes.say_into(folder / f"waits_{rank}")
    print("waits", flush=True)
    time.sleep(100)


def test_a_forked_process_that_is_late_says_what_it_printed(tmp_path):
    process = processes.context().Process(target=wait, args=(0, tmp_path))
    process.start()
    said = tmp_path / "waits_0"
    deadline = time.monotonic() + 60
    while not (said.exists() and said.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(AssertionError, match=r"exit codes \[None\] after 0\.1 s[\s\S]*waits"):
        processes.join([process], [said], 0.1)
    assert not process.is_alive()


def fail(rank):
    if rank == 1:
        raise ValueError("this rank fails")
    time.sleep(100)


def test_a_rank_that_fails_ends_the_others_and_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"the ranks ended with \[1\][\s\S]*this rank fails"):
        processes.on_ranks(2, tmp_path, fail)


def test_no_process_outlives_its_test():
    program = processes.start(sys.executable, "-c", "import time; time.sleep(100)")
    processes.end_all()
    assert program.returncode is not None
