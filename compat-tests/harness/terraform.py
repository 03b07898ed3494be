"""Runs Terraform with the AWS provider that is on this machine, and nothing of AWS in its environment."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

PROVIDER, VERSION = "hashicorp/aws", "5.100.0"
# How long one command may take. The provider alone needs some seconds to start, twice for each command that applies, and
# has neighbours.
COMMAND_S = 200
# How much the provider's heap may grow before it looks for garbage, in percent: at Go's usual 100 a third of its time goes
# there, and with its time most of the tests' time.
GARBAGE_PERCENT = "400"
# What `plan -detailed-exitcode` says.
UNCHANGED, TO_CHANGE = 0, 2
# A folder that has the provider as mirrors have it, where it is nowhere else.
MIRROR_VARIABLE = "NEARGATE_TERRAFORM_MIRROR"
# Where machines keep Terraform's providers: Terraform's own folders, and those that images and packages put software into.
USUAL_PLACES = ("~/.terraform.d", "~/.local/share/terraform", "/usr/local/share", "/usr/share", "/usr/local/lib", "/usr/lib", "/opt")
# How far below those places a mirror may begin.
DEPTH_MAX = 2


class ProviderMissing(Exception):
    """There is no Terraform here, or not the provider that the scenarios are written for."""


def find_mirror() -> Path | None:
    """Returns the folder that Terraform can take the provider from, if this machine has one."""
    named = [os.environ[name] for name in (MIRROR_VARIABLE, "TF_PLUGIN_CACHE_DIR") if os.environ.get(name)]
    for place in (*named, *USUAL_PLACES):
        for depth in range(DEPTH_MAX + 1):
            # A mirror's own folders are the host that the provider is published on, then its name.
            for found in Path(place).expanduser().glob(f"{'*/' * depth}*/{PROVIDER}"):
                # Either unpacked, in a folder of its version and platform, or as it is published.
                if [*found.glob(f"{VERSION}/*/terraform-provider-aws*"), *found.glob(f"*_{VERSION}_*.zip")]:
                    return found.parents[2]
    return None


def write_configuration(path: Path, mirror: Path) -> None:
    """Writes the CLI configuration that takes the provider from a mirror only, whatever the user's own says."""
    installation = f"filesystem_mirror {{\n    path = {json.dumps(str(mirror))}\n  }}"
    path.write_text(f"disable_checkpoint = true\n\nprovider_installation {{\n  {installation}\n}}\n")


class Terraform:
    """A folder with a configuration, and the variables that it is applied with."""

    def __init__(self, folder: Path, configuration: Path | None, variables: dict[str, object]) -> None:
        self.folder = folder
        self.configuration = configuration
        self.variables = variables

    @classmethod
    def prepare(cls, folder: Path, *sources: Path) -> "Terraform":
        """Copies the sources into a folder, and installs the provider there."""
        if not shutil.which("terraform"):
            raise ProviderMissing("there is no terraform in PATH")
        for source in sources:
            shutil.copy(source, folder)
        mirror = find_mirror()
        configuration = folder / "cli.tfrc" if mirror else None
        if mirror:
            write_configuration(configuration, mirror)
        prepared = cls(folder, configuration, {})
        done = prepared._run("init", "-input=false", "-no-color")
        if done.returncode != 0:
            hint = f"{MIRROR_VARIABLE} can name the folder of a mirror that has it"
            reason = " ".join(done.stderr.split())
            raise ProviderMissing(f"terraform finds no provider {PROVIDER} {VERSION}; {hint}: {reason}")
        return prepared

    def copy(self, folder: Path, scenario: Path, variables: dict[str, object]) -> "Terraform":
        """Returns a scenario in a folder of its own, with the provider that is installed here."""
        shutil.copytree(self.folder, folder, symlinks=True)
        shutil.copytree(scenario, folder, dirs_exist_ok=True)
        return Terraform(folder, self.configuration, variables)

    def apply(self, plan: str | None = None) -> None:
        """Makes what the configuration says, or what a plan that is in the folder says."""
        self.run("apply", "-auto-approve", "-input=false", "-no-color", *([plan] if plan else []))

    def destroy(self) -> None:
        """Removes what the configuration made."""
        self.run("destroy", "-auto-approve", "-input=false", "-no-color")

    def plan(self, name: str) -> int:
        """Writes a plan into the folder, and returns the exit status: whether there is anything to change."""
        done = self.run(
            "plan", "-detailed-exitcode", "-input=false", "-no-color", f"-out={name}", expected=(UNCHANGED, TO_CHANGE)
        )
        return done.returncode

    def show(self, plan: str) -> dict:
        """Returns a plan that is in the folder."""
        return json.loads(self.run("show", "-json", plan).stdout)

    def expect_no_drift(self) -> None:
        """Fails with the whole plan where Terraform would change anything."""
        if self.plan("drift") != UNCHANGED:
            raise AssertionError(self.run("show", "-no-color", "drift").stdout)

    def arguments(self, resource: str) -> set[str]:
        """Returns the paths of all arguments that the provider has for a resource."""
        schemas = json.loads(self.run("providers", "schema", "-json").stdout)["provider_schemas"]
        schema = next(schema for name, schema in schemas.items() if name.endswith(f"/{PROVIDER}"))
        block = schema["resource_schemas"][resource]["block"]
        # What every resource has, and is not for users to write.
        return _arguments(block, "") - {"id", "tags_all"}

    def outputs(self) -> dict[str, object]:
        """Returns the values that the scenario ends with."""
        return {name: output["value"] for name, output in json.loads(self.run("output", "-json").stdout).items()}

    def run(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess:
        """Runs a command, and fails with what it said."""
        done = self._run(*arguments)
        assert done.returncode in expected, f"terraform {arguments[0]}: {done.stdout}{done.stderr}"
        return done

    def _run(self, *arguments: str) -> subprocess.CompletedProcess:
        command = ["terraform", *arguments]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # The provider is a child of Terraform's: both end when the command takes too long.
        with subprocess.Popen(
            command, cwd=self.folder, env=self._environment(), text=True, start_new_session=True, **streams
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=COMMAND_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                stdout, stderr = process.communicate()
                stderr += f"ended after {COMMAND_S} s"
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.variables.items()}
        own = {"TF_CLI_CONFIG_FILE": str(self.configuration)} if self.configuration else {}
        variables = {f"TF_VAR_{name}": text for name, text in texts.items()}
        return {**kept, **own, **variables, "CHECKPOINT_DISABLE": "1", "GOGC": GARBAGE_PERCENT}


def changes_in(plan: dict) -> dict[str, list[str]]:
    """Returns what a plan would do to which resource."""
    changes = {change["address"]: change["change"]["actions"] for change in plan.get("resource_changes", [])}
    return {address: actions for address, actions in changes.items() if actions not in (["no-op"], ["read"])}


def values_of(plan: dict, resource: str) -> list[dict]:
    """Returns the values of all resources of a type, both before a plan and after it."""
    roots = (plan["prior_state"]["values"]["root_module"], plan["planned_values"]["root_module"])
    return [found["values"] for root in roots for found in root["resources"] if found["type"] == resource]


def paths_in(value: dict, prefix: str = "") -> set[str]:
    """Returns the paths of what is set in a resource's values: neither empty nor false."""
    paths = set()
    for name, member in value.items():
        if member:
            paths.add(f"{prefix}{name}")
        for item in member if isinstance(member, list) else []:
            paths |= paths_in(item, f"{prefix}{name}.") if isinstance(item, dict) else set()
    return paths


def _arguments(block: dict, prefix: str) -> set[str]:
    attributes = block.get("attributes", {}).items()
    paths = {f"{prefix}{name}" for name, attribute in attributes if attribute.get("required") or attribute.get("optional")}
    for name, nested in block.get("block_types", {}).items():
        paths |= {f"{prefix}{name}"} | _arguments(nested["block"], f"{prefix}{name}.")
    return paths
