import pytest

from eclectus import errors


@pytest.mark.parametrize(
    ("system", "folder", "written"),
    [
        ("posix", "runs/one", "runs/one"),
        ("posix", "my runs/it's", """'my runs/it'"'"'s'"""),
        ("nt", r"runs\one", r"runs\one"),
        ("nt", r"C:\my runs\one", r'"C:\my runs\one"'),  # its shells know no other quotes
    ],
)
def test_the_command_that_goes_on_with_a_run_can_be_pasted(monkeypatch, system, folder, written):
    with monkeypatch.context() as patch:
        patch.setattr(errors.os, "name", system)
        told = errors.resuming(folder)
    assert told == f"`eclectus train --resume {written}`"
