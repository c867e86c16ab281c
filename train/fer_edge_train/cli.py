"""The commands of this package; nothing heavy is imported before one of them runs."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fer_edge.console import print_json
from fer_edge.errors import UsageError, needs
from fer_edge.native_logs import quiet
from fer_edge_train.config_file import limits, read_config_file, with_flags
from fer_edge_train.data.settings import DataSettings, Grouping
from fer_edge_train.runs import cli
from fer_edge_train.settings import NO_AUGMENTATION, Augmentation, Labels, Network, Optimizer, TrainSettings

app = typer.Typer()
app.add_typer(cli.app, name="runs")


def _flag(settings: Any, name: str, text: str) -> Any:
    """A flag for the field `name` of `settings`, with the limits that a config file has too."""
    within = limits(settings, name)
    return typer.Option(min=within.least, max=within.most, help=text)


FormatOption = Annotated[
    str | None, typer.Option("--format", help="expw, legend, ferplus or folders; default: by what is in the folder.")
]
MinConfidenceOption = Annotated[
    float, _flag(DataSettings, "min_confidence", "Drop faces whose box is less certain (ExpW).")
]
GroupOption = Annotated[Grouping, typer.Option(help="What never stands on both sides of a split.")]
ShareOption = Annotated[float, _flag(DataSettings, "split", "Share of testing faces, where none are marked.")]
SeedOption = Annotated[int, _flag(DataSettings, "seed", "Same seed, same split and same run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
ProtocolOption = Annotated[Literal["majority", "all"], typer.Option(help="FER+: which faces count.")]


@app.command()
def prepare(
    data: Annotated[Path, typer.Option(help="Folder of a data set: ExpW, legend.csv, FER+ or class folders.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to make, or a prepared set (.npz); with --check, for the report.")
    ] = None,
    data_format: FormatOption = None,
    min_confidence: MinConfidenceOption = DataSettings.min_confidence,
    group: GroupOption = "photo",
    split: ShareOption = 0.2,
    seed: SeedOption = 0,
    size: Annotated[
        int | None,
        typer.Option(min=8, max=1024, help="Side of a face in pixels; default: as it is, in a prepared set 48."),
    ] = None,
    colour: Annotated[
        Literal["grey", "rgb"],
        typer.Option(help="Of the faces; rgb only for networks that others trained on colour."),
    ] = "grey",
    link: Annotated[bool, typer.Option("--link", help="Hard-link whole pictures instead of copying them.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write no face; report what is in the data, and what leaks between splits.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Read a data set, crop its faces, split them, and write class folders or a prepared set.

    Example: fer-edge prepare --data muxspace --out master_data

    Before a night of training: fer-edge prepare --check --data muxspace --out report
    """
    if check and (link or size or colour != "grey"):
        raise UsageError("--check writes no face; leave out --size, --colour and --link")
    if not check and out is None:
        raise UsageError("give --out DIR or --out SET.npz, or --check to look at the data only")
    with needs("train"):
        from fer_edge_train.prepare.check import check as look
        from fer_edge_train.prepare.prepare import prepare as make
        from fer_edge_train.prepare.report import show
    settings = DataSettings(data_format, min_confidence, group, split, seed=seed)
    if check or out is None:
        report = look(data, out, settings)
    else:
        report = make(data, out, settings, size=size, colour=colour, link=link)
    show(report)
    if json:
        print_json(report.as_json())


@app.command()
def train(
    ctx: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of any known layout, or a prepared set (.npz); several times for several."),
    ] = None,
    data_weight: Annotated[
        list[float] | None, typer.Option(help="How much a face of each --data counts, in the same order.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings; flags stand above it. See train/configs/.")
    ] = None,
    network: Annotated[Network, typer.Option(help="Which network.")] = TrainSettings.network,
    epochs: Annotated[int, _flag(TrainSettings, "epochs", "Passes over the training faces.")] = TrainSettings.epochs,
    batch: Annotated[int, _flag(TrainSettings, "batch", "Faces per step.")] = TrainSettings.batch,
    imgsz: Annotated[int, _flag(TrainSettings, "size", "Side of the network's input in pixels.")] = TrainSettings.size,
    optimizer: Annotated[
        Optimizer, typer.Option(help="All with warm-up and cosine decay; sgd wants --lr 0.05 --weight-decay 0.0005.")
    ] = TrainSettings.optimizer,
    lr: Annotated[float, _flag(TrainSettings, "learning_rate", "Highest learning rate.")] = TrainSettings.learning_rate,
    weight_decay: Annotated[
        float, _flag(TrainSettings, "weight_decay", "Of adamw and sgd.")
    ] = TrainSettings.weight_decay,
    ema: Annotated[
        float, _flag(TrainSettings, "ema", "Momentum of the averaged weights; 0: none.")
    ] = TrainSettings.ema,
    labels: Annotated[Labels, typer.Option(help="Shares of the votes, or one class.")] = TrainSettings.labels,
    label_smoothing: Annotated[
        float, _flag(TrainSettings, "label_smoothing", "Share of a target that is spread over all classes.")
    ] = TrainSettings.label_smoothing,
    mixup: Annotated[
        float, _flag(TrainSettings, "mixup", "Mix faces two by two, by shares from Beta(this, this); 0: do not.")
    ] = TrainSettings.mixup,
    class_weights: Annotated[
        bool, typer.Option(help="For rare classes: let every class weigh the same.")
    ] = TrainSettings.class_weights,
    balanced_sampling: Annotated[
        bool, typer.Option(help="For rare classes: show as many faces of each.")
    ] = TrainSettings.balanced_sampling,
    logit_adjustment: Annotated[
        float, _flag(TrainSettings, "logit_adjustment", "For rare classes: tau, 1 to balance; 0: none.")
    ] = TrainSettings.logit_adjustment,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="Learn from this run or model, too (distillation); any number of them.")
    ] = None,
    teacher_weight: Annotated[
        float, _flag(TrainSettings, "teacher_weight", "Share of the teachers in the loss.")
    ] = TrainSettings.teacher_weight,
    teacher_temperature: Annotated[
        float, _flag(TrainSettings, "teacher_temperature", "Of the teachers' answers, and of the network's to them.")
    ] = TrainSettings.teacher_temperature,
    unlabelled: Annotated[
        Path | None, typer.Option(help="Face pictures, or any data set, that only the teachers say something of.")
    ] = None,
    patience: Annotated[
        int, _flag(TrainSettings, "patience", "Stop after so many epochs without gain; 0: never.")
    ] = TrainSettings.patience,
    protocol: ProtocolOption = TrainSettings.protocol,
    augment: Annotated[bool, typer.Option(help="Change the training faces at random.")] = True,
    flip: Annotated[bool, typer.Option(help="Mirror every second face.")] = Augmentation.flip,
    shift: Annotated[float, _flag(Augmentation, "shift", "At most this share of the side.")] = Augmentation.shift,
    rotation: Annotated[float, _flag(Augmentation, "rotation", "At most so many degrees.")] = Augmentation.rotation,
    zoom: Annotated[
        float, _flag(Augmentation, "zoom", "At most so much larger or smaller: the crop's margin.")
    ] = Augmentation.zoom,
    brightness: Annotated[
        float, _flag(Augmentation, "brightness", "At most so much light and contrast.")
    ] = Augmentation.brightness,
    erasing: Annotated[
        float, _flag(Augmentation, "erasing", "Share of faces with a rectangle of noise.")
    ] = Augmentation.erasing,
    low_resolution: Annotated[
        float, _flag(Augmentation, "low_resolution", "Share of faces seen from afar.")
    ] = Augmentation.low_resolution,
    blur: Annotated[float, _flag(Augmentation, "blur", "Share of faces out of focus.")] = Augmentation.blur,
    jpeg: Annotated[float, _flag(Augmentation, "jpeg", "Share of faces stored as a poor JPEG.")] = Augmentation.jpeg,
    data_format: FormatOption = None,
    min_confidence: MinConfidenceOption = DataSettings.min_confidence,
    group: GroupOption = "photo",
    split: ShareOption = 0.2,
    seed: SeedOption = 0,
    project: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/train"),
    name: Annotated[str, typer.Option(help="Name of the run; NAME2 where it is taken.")] = "exp",
    exist_ok: Annotated[bool, typer.Option("--exist-ok", help="Replace the run of that name.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log to RUN/tensorboard as well.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder, by its own settings.")] = None,
    strategy: Annotated[
        Literal["auto", "mirrored", "multiworker"],
        typer.Option(help="Several GPUs of this machine, or the workers that TF_CONFIG names; auto: these, or one."),
    ] = "auto",
    json: JsonOption = False,
) -> None:
    """Fit a network; leaves a run folder with weights, settings, history, figures and pictures.

    Example: fer-edge train --data ferplus --network edge --epochs 60 --name ferplus

    Two data sets, and what another network knows: fer-edge train --data ferplus --data muxspace --teacher RUN

    With the settings of a file, or of another run: fer-edge train --config train/configs/edge.yaml --data ferplus

    After Ctrl-C or a crash: fer-edge train --resume runs/train/ferplus
    """
    if not (data or config or resume) or (data and resume):
        raise UsageError("give either --data DIR, or --resume RUN to go on with a run")
    if resume:
        _refuse_other_options(ctx)
    if "TF_CONFIG" in os.environ or strategy == "mirrored":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # of a lost worker TensorFlow has a page to say
    with needs("train"), quiet():
        from fer_edge_train.strategy import taking_part
        from fer_edge_train.training import fit
    with taking_part(strategy) as place, place.folders(project, resume) as (project, resume):
        run = fit.resume(resume) if resume else fit.train(_settings(ctx), project, name, exist_ok=exist_ok)
        if place.leads:
            fit.show(run)
            if json:
                print_json(fit.figures(run))


FIELDS = {
    "imgsz": "size",
    "lr": "learning_rate",
    "data_format": "format",
    "data_weight": "data_weights",
    "teacher": "teachers",
}
"""Flags of `train` that have another name than the setting."""


def _settings(ctx: typer.Context) -> TrainSettings:
    """What --config says stands above the defaults, and what was typed above both."""
    config = ctx.params["config"]
    settings = read_config_file(config, TrainSettings()) if config else TrainSettings()
    flags = {} if ctx.params["augment"] else asdict(NO_AUGMENTATION)
    flags.update((FIELDS.get(name, name), value) for name, value in ctx.params.items() if _typed(ctx, name))
    for name in ("data", "teachers", "unlabelled"):
        if name in flags:
            paths = flags[name]
            flags[name] = tuple(str(path) for path in paths) if isinstance(paths, list) else str(paths)
    if "data_weights" in flags:
        flags["data_weights"] = tuple(flags["data_weights"])
    settings = with_flags(settings, flags)
    if not settings.data:
        raise UsageError(f"{config} names no data; give --data DIR as well")
    return settings


def _refuse_other_options(ctx: typer.Context) -> None:
    """Refuse what was typed beside --resume and would have no effect: silence would look like consent."""
    for option in ctx.command.params:
        name = option.name or ""
        if name not in ("resume", "strategy", "json") and _typed(ctx, name):
            switched_off = option.secondary_opts and not ctx.params[name]
            flag = option.secondary_opts[0] if switched_off else option.opts[0]
            raise UsageError(f"{flag} cannot be changed by --resume; leave it out, or start a new run")


def _typed(ctx: typer.Context, option: str) -> bool:
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


@app.command()
def evaluate(
    model: Annotated[Path, typer.Option("--model", "-m", help="A .tflite, a .keras, or a run folder.")],
    data: Annotated[Path, typer.Option(help="Folder of any known layout, or a prepared set (.npz).")],
    split: Annotated[
        Literal["training", "validation", "testing", "all"] | None,
        typer.Option(help="Which faces; default: those that the model was neither trained nor chosen on."),
    ] = None,
    protocol: ProtocolOption = "majority",
    data_format: FormatOption = None,
    min_confidence: MinConfidenceOption = DataSettings.min_confidence,
    project: Annotated[Path, typer.Option(help="Folder of the evaluations.")] = Path("runs/evaluate"),
    name: Annotated[str, typer.Option(help="Name of this one; NAME2 where it is taken.")] = "exp",
    json: JsonOption = False,
) -> None:
    """Judge a model on any faces: accuracy, balanced accuracy, macro-F1, recall per class, calibration error.

    Example: fer-edge evaluate --model runs/train/ferplus --data ferplus --split validation --protocol all
    """
    with needs("train"), quiet():
        from fer_edge_train.evaluation import evaluate as judge

        judged = judge.load_judged(model)
    with judge.evaluation_folder(project, name) as folder:
        chosen = judge.load_faces_for(judged, data, DataSettings(data_format, min_confidence), split)
        figures = {"data": str(data), **judge.evaluate(judged, chosen, protocol)}
        judge.write_evaluation(folder, figures)
    judge.show(figures, folder)
    if json:
        print_json(figures)
