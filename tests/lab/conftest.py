"""Fixtures of the lab. A failed test shows the last lines of every program that ran in it."""
import os
import shutil

import pytest

import lab as labs


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures or fills the machine, so nothing may run beside it")
    if os.geteuid() != 0:
        pytest.exit("the lab makes network namespaces: run it as root", returncode=2)
    if not labs.EMULATOR.exists():
        pytest.exit(f"{labs.EMULATOR} is missing: build first (meson setup build && ninja -C build)", returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, labs.Lab):
                report.sections.append(("programs of the lab", value.logs()))
                keep = os.environ.get("DETEC_LAB_KEEP")  # a directory for the captures and logs of failed tests
                if keep:
                    shutil.copytree(value.dir, os.path.join(keep, item.name), dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))


@pytest.fixture
def lab():
    with labs.Lab() as made:
        yield made
