"""The command `headstart`: a table of commands, each imported when it is called, and the exit codes of errors."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from headstart.credentials import hide_in_logs, without_credentials
from headstart.errors import HeadstartError, RecipeError
from headstart.memory import is_out_of_memory, too_little
from headstart.version import __version__
from headstart.visible import visible

# name -> (where the command is, what help says of it); help is printed from here, so that it imports no command
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("headstart.cli.init:init", "Look at your data and write a commented recipe for it."),
    "check": ("headstart.cli.check:check", "Check a recipe and its data, without training."),
    "run": ("headstart.cli.running:run", "Train, evaluate and report what a recipe says."),
    "lr": ("headstart.cli.lr:lr", "Find a learning rate for a recipe, with a picture."),
    "predict": ("headstart.cli.predicting:predict", "Predict new inputs with a finished run."),
    "evaluate": ("headstart.cli.evaluating:evaluate", "Score a finished run on other labelled data."),
    "explain": ("headstart.cli.explain:explain", "Show what a run's answers hang on."),
    "report": ("headstart.cli.results:report", "Write the report of a run again, or open it."),
    "compare": ("headstart.cli.results:compare", "Compare two runs on the examples that both were tested on."),
    "cache": ("headstart.cli.cache:cache", "Show and remove what frozen backbones computed for later runs."),
    "doctor": ("headstart.cli.doctor:doctor", "Show versions, devices, caches and settings, and what is wrong with them."),
    "list": ("headstart.cli.listing:list_", "List backbones, heads, strategies, data or recipes."),
    "show": ("headstart.cli.listing:show", "Show one part with its options, or one recipe."),
    "plugins": ("headstart.cli.plugins:plugins", "Show the installed plugins; write a new one, or hold one to the contract."),
    "schema": ("headstart.cli.recipes:schema", "Print the JSON Schema of recipes, for completion in editors."),
    "cp": ("headstart.cli.recipes:cp", "Copy a recipe here, to change it."),
}
PLUGIN_FLAGS = "headstart.plugin_flags"  # key of click's `meta`: the files that --plugin named, as they were typed
_REMEDIES = {
    errno.ENOSPC: "make room there, and do it again",
    errno.EDQUOT: "make room there, and do it again",
    errno.EFBIG: "raise the limit (`ulimit -f`), and do it again",
    errno.EIO: "the disk, or the way to it, is broken: the system's log (`dmesg`) knows more",
    errno.EROFS: "name another place",
}
OFFLINE = ("HEADSTART_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


class LazyGroup(click.Group):
    """A group whose commands come from the table; plugins are asked only for a name that is not in it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The core's commands, in the order of a first hour with headstart."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name in COMMANDS:
            module, _, function = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), function)
            return command
        return _plugin_commands().get(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but with suggestions: click looks for them among commands that are imported already."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            known = [*COMMANDS, *_plugin_commands()]
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=known, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names out of the table, so that pressing tab imports no command."""
        named = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return named + click.Command.shell_complete(self, ctx, incomplete)


def _plugin_commands() -> dict[str, click.Command]:
    from headstart.plugins import registry

    return registry().commands()


# Callbacks run while options are parsed, before a command is looked up or imported.


def _add_plugins(ctx: click.Context, parameter: click.Parameter, files: tuple[Path, ...]) -> None:
    given = [*filter(None, [os.environ.get("HEADSTART_PLUGIN_FILES")]), *(str(file.resolve()) for file in files)]
    ctx.meta[PLUGIN_FLAGS] = files
    if files:
        os.environ["HEADSTART_PLUGIN_FILES"] = os.pathsep.join(given)


def _go_offline(ctx: click.Context, parameter: click.Parameter, is_offline: bool) -> None:
    if is_offline or os.environ.get("HEADSTART_OFFLINE", "") not in ("", "0"):
        os.environ.update(dict.fromkeys(OFFLINE, "1"))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="`headstart COMMAND -h` explains a command. Plugins may bring further commands: `headstart plugins`.",
)
@click.option(
    "--plugin",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    expose_value=False,
    callback=_add_plugins,
    help="Add a plugin that is one Python file, for this call. Repeatable.",
)
@click.option("--offline", is_flag=True, expose_value=False, callback=_go_offline, help="Never ask the network.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="headstart")
def cli() -> None:
    """Transfer learning as composition: data x backbone x head x strategy."""


def execute(args: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are printed to stderr."""
    hide_in_logs()
    try:
        result = cli.main(list(args), prog_name="headstart", standalone_mode=False)
    except click.exceptions.Abort:  # what click makes of Ctrl-C
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except HeadstartError as error:
        _print(args, error, str(error) if isinstance(error, RecipeError) else f"error: {error}")
        return error.exit_code
    except Exception as error:
        _print(args, error, "\n".join([_unexpected(error), *getattr(error, "__notes__", ())]))
        return 1
    return result if isinstance(result, int) else 0  # the code that a command gave to `ctx.exit`


def _unexpected(error: Exception) -> str:
    """What is said of an error that nobody raised on purpose; a full disk or too little memory is no fault of headstart."""
    if is_out_of_memory(error):
        return f"error: {too_little(error)}"
    if (system := _of_system(error)) is not None:
        place = f"{system.filename}: " if system.filename else ""
        return f"error: {place}{system.strerror}; {_REMEDIES.get(system.errno or 0, 'run again with --debug to see where')}"
    return f"error: {type(error).__name__}: {error}\nthis is a fault of headstart; run again with --debug to see where"


def _of_system(error: Exception) -> OSError | None:
    """The system's own error, also where a library in Rust (safetensors, tokenizers) passes on nothing but its number."""
    if isinstance(error, OSError):
        return error if error.strerror else None
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else None


def _print(args: Sequence[str], error: Exception, message: str) -> None:
    if _is_debugging(args):
        click.echo(without_credentials("".join(traceback.format_exception(error))), err=True)
    click.echo(visible(without_credentials(message), lines=True), err=True)


def _is_debugging(args: Sequence[str]) -> bool:
    return "--debug" in args or os.environ.get("HEADSTART_DEBUG", "") not in ("", "0")


def main() -> None:
    """The entry point of the command `headstart`."""
    # torch's threads sleep while they wait for work, and do not spin: beside other processes on the same two cores a training
    # of MiniLM's size took 0.7 in place of 5 s a step. Read by OpenMP when torch is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    args = sys.argv[1:]
    # --debug is taken anywhere, since one adds it at the end of the line that failed
    sys.exit(execute(["--debug", *(arg for arg in args if arg != "--debug")] if "--debug" in args else args))
