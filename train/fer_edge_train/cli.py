"""The commands of this package; nothing heavy is imported before one of them runs."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from fer_edge.console import print_json
from fer_edge.errors import UsageError, needs
from fer_edge.quiet import quiet
from fer_edge_train.data_settings import DataSettings

app = typer.Typer()

FormatOption = Annotated[
    str | None, typer.Option("--format", help="expw, legend, ferplus or folders; default: by what is in the folder.")
]
MinConfidenceOption = Annotated[float, typer.Option(min=0, help="Drop faces whose box is less certain (ExpW).")]
GroupOption = Annotated[Literal["photo", "person"], typer.Option(help="What never stands on both sides of a split.")]
ShareOption = Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of testing faces, where none are marked.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Same seed, same split and same run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
ProtocolOption = Annotated[Literal["majority", "all"], typer.Option(help="FER+: which faces count.")]


@app.command()
def prepare(
    data: Annotated[Path, typer.Option(help="Folder of a data set: ExpW, legend.csv, FER+ or class folders.")],
    out: Annotated[Path, typer.Option(help="Folder to make, or a prepared set (.npz).")],
    data_format: FormatOption = None,
    min_confidence: MinConfidenceOption = DataSettings.min_confidence,
    group: GroupOption = "photo",
    split: ShareOption = 0.2,
    seed: SeedOption = 0,
    size: Annotated[
        int | None,
        typer.Option(min=8, max=1024, help="Side of a face in pixels; default: as it is, in a prepared set 48."),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Hard-link whole pictures instead of copying them.")] = False,
    json: JsonOption = False,
) -> None:
    """Read a data set, crop its faces, split them, and write class folders or a prepared set.

    Example: fer-edge prepare --data muxspace --out master_data
    """
    with needs("train"):
        from fer_edge_train.prepare import prepare as make
        from fer_edge_train.report import show
    settings = DataSettings(data_format, min_confidence, group, split, seed=seed)
    report = make(data, out, settings, size=size, link=link)
    show(report)
    if json:
        print_json(report.as_json())


@app.command()
def train(
    ctx: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of any known layout, or a prepared set (.npz); detect: a folder with faces.csv."),
    ] = None,
    task: Annotated[
        Literal["classify", "detect"], typer.Option(help="Name expressions, or find faces (by --config).")
    ] = "classify",
    config: Annotated[
        Path | None, typer.Option(help="YAML file with the settings of --task detect; see train/configs/face.yaml.")
    ] = None,
    network: Annotated[Literal["edge", "legend-cnn", "expw-cnn"], typer.Option(help="Which network.")] = "edge",
    epochs: Annotated[int, typer.Option(min=1, max=1_000_000, help="Passes over the training faces.")] = 60,
    batch: Annotated[int, typer.Option(min=1, help="Faces per step.")] = 128,
    imgsz: Annotated[int, typer.Option(min=24, max=256, help="Side of the network's input in pixels.")] = 48,
    optimizer: Annotated[Literal["adamw", "adam"], typer.Option(help="Both with warm-up and cosine decay.")] = "adamw",
    lr: Annotated[float, typer.Option(min=1e-7, max=10, help="Highest learning rate.")] = 2e-3,
    weight_decay: Annotated[float, typer.Option(min=0, max=10, help="Of AdamW.")] = 0.05,
    ema: Annotated[float, typer.Option(min=0, max=0.9999, help="Momentum of the averaged weights; 0: none.")] = 0.998,
    labels: Annotated[Literal["soft", "majority"], typer.Option(help="Shares of the votes, or one class.")] = "soft",
    class_weights: Annotated[bool, typer.Option("--class-weights", help="Let every class weigh the same.")] = False,
    patience: Annotated[int, typer.Option(min=0, help="Stop after so many epochs without gain; 0: never.")] = 15,
    protocol: ProtocolOption = "majority",
    augment: Annotated[bool, typer.Option(help="Change the training faces at random.")] = True,
    flip: Annotated[bool, typer.Option(help="Mirror every second face.")] = True,
    shift: Annotated[float, typer.Option(min=0, max=0.5, help="At most this share of the side.")] = 0.08,
    rotation: Annotated[float, typer.Option(min=0, max=180, help="At most so many degrees.")] = 15.0,
    zoom: Annotated[float, typer.Option(min=0, max=1, help="At most so much larger or smaller.")] = 0.15,
    brightness: Annotated[float, typer.Option(min=0, max=1, help="At most so much light and contrast.")] = 0.2,
    data_format: FormatOption = None,
    min_confidence: MinConfidenceOption = DataSettings.min_confidence,
    group: GroupOption = "photo",
    split: ShareOption = 0.2,
    seed: SeedOption = 0,
    project: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/train"),
    name: Annotated[str, typer.Option(help="Name of the run; NAME2 where it is taken.")] = "exp",
    exist_ok: Annotated[bool, typer.Option("--exist-ok", help="Replace the run of that name.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder, by its own settings.")] = None,
    json: JsonOption = False,
) -> None:
    """Fit a network; leaves a run folder with weights, settings, history, figures and pictures.

    Example: fer-edge train --data ferplus --network edge --epochs 60 --name ferplus

    A face detector: fer-edge train --task detect --config train/configs/face.yaml --data faces --name face

    After Ctrl-C or a crash: fer-edge train --resume runs/train/ferplus
    """
    if (data is None) == (resume is None):
        raise UsageError("give either --data DIR, or --resume RUN to go on with a run")
    if resume:
        _refuse_other_options(
            ctx, ("resume", "json"), "{} cannot be changed by --resume; leave it out, or start a new run"
        )
    elif task == "detect":
        kept = ("data", "task", "config", "epochs", "seed", "project", "name", "exist_ok", "json")
        _refuse_other_options(ctx, kept, "{} is not for --task detect; settings of a detector go into --config FILE")
    elif config:
        raise UsageError("--config is for --task detect; the settings of an expression network have flags of their own")
    with needs("train"), quiet():
        from fer_edge_train import fit
        from fer_edge_train.settings import NO_AUGMENTATION, Augmentation, TrainSettings

        fit.wake_backend()
    if resume:
        run = fit.resume(resume)
    elif task == "detect":
        from fer_edge_train.detector.fit import train as train_detector
        from fer_edge_train.detector.settings import DetectorSettings, read_config_file

        chosen = read_config_file(config) if config else DetectorSettings()
        given = {option: ctx.params[option] for option in ("epochs", "seed") if _typed(ctx, option)}
        run = train_detector(replace(chosen, data=str(data), **given), project, name, exist_ok=exist_ok)
    else:
        settings = TrainSettings(
            data=str(data),
            network=network,
            epochs=epochs,
            batch=batch,
            size=imgsz,
            optimizer=optimizer,
            learning_rate=lr,
            weight_decay=weight_decay,
            ema=ema,
            labels=labels,
            class_weights=class_weights,
            patience=patience,
            protocol=protocol,
            seed=seed,
            augmentation=Augmentation(flip, shift, rotation, zoom, brightness) if augment else NO_AUGMENTATION,
            reading=DataSettings(data_format, min_confidence, group, split, seed=seed),
        )
        run = fit.train(settings, project, name, exist_ok=exist_ok)
    fit.show(run)
    if json:
        print_json(fit.figures(run))


def _refuse_other_options(ctx: typer.Context, allowed: tuple[str, ...], message: str) -> None:
    """Refuse what was typed and would have no effect: silence would look like consent."""
    for option in ctx.command.params:
        name = option.name or ""
        if name not in allowed and _typed(ctx, name):
            switched_off = option.secondary_opts and not ctx.params[name]
            raise UsageError(message.format(option.secondary_opts[0] if switched_off else option.opts[0]))


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
        from fer_edge_train import evaluate as judge

        judged = judge.load_judged(model)
    with judge.evaluation_folder(project, name) as folder:
        chosen = judge.load_faces_for(judged, data, DataSettings(data_format, min_confidence), split)
        figures = {"data": str(data), **judge.evaluate(judged, chosen, protocol)}
        judge.write_evaluation(folder, figures)
    judge.show(figures, folder)
    if json:
        print_json(figures)
