from pathlib import Path

from tests.benchmarks.machine import file_system

MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/vdb /tmp/disk xfs rw 0 0
"""


def test_the_file_system_is_that_of_the_longest_mount_above():
    assert file_system(Path("/var/lib"), MOUNTS) == "ext4"
    assert file_system(Path("/tmp/bench"), MOUNTS) == "tmpfs"
    assert file_system(Path("/tmp/disk/bench"), MOUNTS) == "xfs"
    assert file_system(Path("/tmpfiles"), MOUNTS) == "ext4"
