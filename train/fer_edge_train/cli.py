"""Commands prepare, train and evaluate; heavy packages are imported only when one of them runs."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from fer_edge.console import command_line, date_now, print_json
from fer_edge.errors import ModelError, UsageError, needs
from fer_edge.native_logs import quiet
from fer_edge.options import JsonOption, takes, typed, was_typed
from fer_edge_train.config_file import read_config_file
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.runs import cli
from fer_edge_train.settings import NO_AUGMENTATION, TrainSettings

app = typer.Typer()
app.add_typer(cli.app, name="runs")

RUN_FOLDER = "Run folder"
"""Panel of --help."""


@app.command()
@takes(DataSettings, without=("validation_split",))
def prepare(
    data: Annotated[Path, typer.Option(help="Folder of a data set: ExpW, legend.csv, FER+ or class folders.")],
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Output folder or prepared set (.npz); with --check, for the report.")
    ] = None,
    imgsz: Annotated[
        int | None,
        typer.Option(min=8, max=1024, help="Side of a face in pixels; default: unchanged, in a prepared set 48."),
    ] = None,
    colour: Annotated[
        Literal["grey", "rgb"],
        typer.Option(help="Colour of the faces; rgb only for networks trained elsewhere on colour."),
    ] = "grey",
    link: Annotated[bool, typer.Option("--link", help="Hard-link pictures instead of copying them.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write no faces; report statistics and leaks between splits.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Read a data set, crop and split its faces, and write class folders or a prepared set.

    Example: fer-edge prepare --data muxspace --out master_data

    Check a data set before training: fer-edge prepare --check --data muxspace --out report
    """
    if check and (link or imgsz or colour != "grey"):
        raise UsageError("--check writes no faces; leave out --imgsz, --colour and --link")
    if not check and out is None:
        raise UsageError("give --out DIR or --out SET.npz, or --check for a report only")
    with needs("train"):
        from fer_edge_train.prepare.check import check as check_data
        from fer_edge_train.prepare.prepare import prepare as prepare_data
        from fer_edge_train.prepare.report import show
    settings = typed(DataSettings(), ctx)
    if check or out is None:
        report = check_data(data, out, settings)
    else:
        report = prepare_data(data, out, settings, size=imgsz, colour=colour, link=link)
    show(report)
    if json:
        print_json(report.as_json())


@app.command()
@takes(TrainSettings)
def train(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings; flags override it. See train/configs/.")
    ] = None,
    augment: Annotated[
        bool, typer.Option(rich_help_panel="Augmentation", help="Random augmentation of training faces.")
    ] = True,
    project: Annotated[Path, typer.Option(rich_help_panel=RUN_FOLDER, help="Folder of the runs.")] = Path("runs/train"),
    name: Annotated[str, typer.Option(rich_help_panel=RUN_FOLDER, help="Name of the run; NAME2 if it exists.")] = "exp",
    exist_ok: Annotated[
        bool, typer.Option("--exist-ok", rich_help_panel=RUN_FOLDER, help="Replace the run of that name.")
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(rich_help_panel=RUN_FOLDER, help="Resume this run with its own settings.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train a network; writes a run folder with weights, settings, history, metrics and plots.

    Example: fer-edge train --data ferplus --network edge --epochs 60 --name ferplus

    Two data sets, with distillation: fer-edge train --data ferplus --data muxspace --teacher RUN

    With a config file: fer-edge train --config train/configs/edge.yaml --data ferplus

    After Ctrl-C or a crash: fer-edge train --resume runs/train/ferplus
    """
    data = ctx.params["data"]
    if not (data or config or resume) or (data and resume):
        raise UsageError("give either --data DIR, or --resume RUN")
    if resume:
        _refuse_other_options(ctx)
    with needs("train"), quiet():
        from fer_edge_train.training import fit
        from fer_edge_train.training.processes import join_processes
    with join_processes(project, resume) as role:
        run = (
            fit.resume(role.resume) if role.resume else fit.train(_settings(ctx), role.project, name, exist_ok=exist_ok)
        )
        if role.is_main:
            fit.show(run)
            if json:
                print_json(fit.figures(run))


def _settings(ctx: typer.Context) -> TrainSettings:
    """Merge settings: --config overrides the defaults, flags override both."""
    config = ctx.params["config"]
    settings = read_config_file(config, TrainSettings()) if config else TrainSettings()
    if not ctx.params["augment"]:
        settings = replace(settings, augmentation=NO_AUGMENTATION)
    settings = typed(settings, ctx)
    if not settings.data:
        raise UsageError(f"{config} names no data; give --data DIR as well")
    return settings


def _refuse_other_options(ctx: typer.Context) -> None:
    """Reject options beside --resume: they would have no effect."""
    for option in ctx.command.params:
        name = option.name or ""
        if name not in ("resume", "json") and was_typed(name, ctx):
            switched_off = option.secondary_opts and not ctx.params[name]
            flag = option.secondary_opts[0] if switched_off else option.opts[0]
            raise UsageError(f"{flag} cannot be changed by --resume; leave it out, or start a new run")


@app.command()
@takes(DataSettings, without=("group", "test_split", "validation_split", "seed"))
def evaluate(
    data: Annotated[Path, typer.Option(help="Data set folder, or a prepared set (.npz).")],
    ctx: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MODEL]", help="A .tflite, a run folder, or a .keras in one; default: the bundled one."
        ),
    ] = None,
    model: Annotated[Path | None, typer.Option("--model", "-m", help="As MODEL.")] = None,
    split: Annotated[
        Literal["training", "validation", "testing", "all"] | None,
        typer.Option(help="Which faces; default: those not used in training the model."),
    ] = None,
    protocol: Annotated[
        Literal["majority", "all"], typer.Option(help="FER+ protocol: which faces count.")
    ] = "majority",
    project: Annotated[Path, typer.Option(rich_help_panel=RUN_FOLDER, help="Folder of the evaluations.")] = Path(
        "runs/evaluate"
    ),
    name: Annotated[
        str, typer.Option(rich_help_panel=RUN_FOLDER, help="Name of the evaluation; NAME2 if it exists.")
    ] = "exp",
    json: JsonOption = False,
) -> None:
    """Evaluate a model: accuracy, balanced accuracy, macro-F1, recall per class, calibration error.

    Example: fer-edge evaluate runs/train/ferplus --data ferplus --split validation --protocol all
    """
    if path and model:
        raise UsageError(f"give one model: {path}, or --model {model}")
    model = path or model
    if model and not model.exists():
        raise ModelError(f"{model}: no such file or folder; see your runs: fer-edge runs")
    with needs("train"), quiet():
        from fer_edge.recognition.classifier import BUNDLED
        from fer_edge_train.evaluation import evaluate as evaluation
        from fer_edge_train.evaluation import report

        loaded = evaluation.load_model(model or BUNDLED)
        importlib.import_module("keras").ops.zeros(1)  # finds the devices
    with evaluation.evaluation_folder(project, name) as folder:
        chosen = evaluation.load_faces_for(loaded, data, typed(DataSettings(), ctx), split)
        faces, figures = evaluation.evaluate(loaded, chosen, protocol)
        figures = {"data": str(data), "date": date_now(), "command": command_line(), **figures}
        report.write_evaluation(folder, figures, faces)
    report.show(figures, folder)
    if json:
        print_json(figures)
