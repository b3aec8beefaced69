"""Settings. One field here is one YAML key, one command-line flag and one help line.

`Settings` holds all of them with their defaults; ``None`` means "rung chooses, and says what it chose".
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from rung.errors import UsageError, nearest
from rung.setting_values import (
    Bits,
    Counts,
    Finite,
    Names,
    Options,
    Pairs,
    RoleNames,
    is_boolean,
    options_of,
    parse_duration,
)
from rung.setting_values import Columns as Columns
from rung.yaml_file import read_yaml, show


@dataclass(frozen=True, slots=True)
class Panel:
    """The section of the help page that a setting is in."""

    title: str


MAIN, VERDICT, DATA = Panel("Options"), Panel("Verdict"), Panel("Data")
PROMPTING, TRAINING, MACHINE = Panel("Prompting"), Panel("Training"), Panel("Machine and money")


class Settings(BaseModel):
    """Everything that can be asked of rung, with its default, its limits and its place on the help page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Annotated[str, MAIN] = Field(
        "smollm2-135m-instruct", description="Base model: a catalog name, a folder, a GGUF file or a hub id."
    )
    task: Annotated[str | None, MAIN] = Field(
        None,
        description="What the rows ask for: classification, multi_label, extraction, api_call, translation, "
        "knowledge, instructions, preferences or generation; inferred from all rows if not given.",
    )
    test: Annotated[Path | None, MAIN] = Field(
        None, description="File of held-out rows; otherwise a part of FILE is held out."
    )
    json_schema: Annotated[Path | None, DATA] = Field(
        None,
        description="File of a JSON Schema that extracted objects keep to; learned from train if not given.",
    )
    train_questions: Annotated[Path | None, DATA] = Field(
        None, description="File of questions and answers to learn from, where FILE is a folder of documents."
    )
    written_questions: Annotated[int, DATA] = Field(
        200,
        ge=0,
        le=10_000,
        description="Most questions that the base writes from documents, to learn from; 0 for none.",
    )
    format: Annotated[str | None, DATA] = Field(
        None, description="Format of the rows; detected if not given."
    )
    prompt: Annotated[Names, DATA] = Field(
        (), description="Columns of the prompt, separated by commas; found if not given."
    )
    completion: Annotated[Names, DATA] = Field(
        (), description="Columns of the answer to learn; several become one JSON object."
    )
    label: Annotated[Names, DATA] = Field(
        (), description="The same as --completion, and says that it is a class label."
    )
    target: Annotated[Names, DATA] = Field((), description="The same as --completion.")
    messages: Annotated[str | None, DATA] = Field(None, description="Column that holds conversations.")
    system: Annotated[str | None, DATA] = Field(None, description="Column that holds the system text.")
    text: Annotated[str | None, DATA] = Field(
        None, description="Column of plain text, all of which is learned."
    )
    roles: Annotated[RoleNames, DATA] = Field(
        {}, description="Names of a role in conversations, such as assistant=gpt,bot; can be repeated."
    )
    ignore: Annotated[Names, DATA] = Field((), description="Columns to leave out, separated by commas.")
    group: Annotated[str | None, DATA] = Field(
        None, description="Column whose rows with equal values stay on one side of the split."
    )
    header: Annotated[bool | None, DATA] = Field(
        None, description="The first line of a table names its columns, or not: they are 1, 2, ... then."
    )
    label_names: Annotated[Pairs, DATA] = Field(
        {}, description="What labels mean, such as 0=negative,1=positive."
    )
    apis: Annotated[Path | None, DATA] = Field(
        None,
        description="Catalogue of APIs, for api_call: a file of calls, commands or OpenAI tools with their "
        "documentation.",
    )
    documents: Annotated[Path | None, DATA] = Field(
        None,
        description="File or folder of documents that answers can be looked up in: text, Markdown, or one "
        "record a row; the file of --apis if not given.",
    )
    mix: Annotated[str | None, DATA] = Field(
        None,
        description="How often the rows of each source are learned: proportional, temperature=2, weights "
        "such as news=2,mail=0.5, or dev, which compares a few mixtures in short trainings; a source is a "
        "value of the column that --mix-by names.",
    )
    mix_by: Annotated[str, DATA] = Field("source", description="Column of the sources that --mix weighs.")
    metric: Annotated[str | None, DATA] = Field(
        None, description="Metric to compare rungs by; the task's own if not given."
    )
    rungs: Annotated[Names | None, MAIN] = Field(
        None,
        min_length=1,
        description="Rungs to try, separated by commas, or all; the usual ones for the task if not given.",
    )
    method: Annotated[str | None, MAIN] = Field(
        None,
        description="Tune in this one way only; see rung methods. `climb` tries lora and full, `tune` lora.",
    )
    budget: Annotated[Finite | None, BeforeValidator(parse_duration), MAIN] = Field(
        1800.0, gt=0, description="Time for the whole climb, such as 15m or 2h; none for no limit."
    )
    output: Annotated[Path | None, MAIN] = Field(
        None, description="Run folder; runs/<file>-<fingerprint> if not given."
    )
    seed: Annotated[int, MAIN] = Field(0, ge=0, lt=2**32, description="Seed of every random choice.")
    epochs: Annotated[Finite | None, MAIN] = Field(
        None, gt=0, le=1000, description="Passes over the train rows; fitted into the budget if not given."
    )
    stop_when_hopeless: Annotated[bool, TRAINING] = Field(
        True,
        description="With a budget, try a tuned rung on few rows first, and leave it out if its chance to "
        "beat the best rung before it is below 5%; on if not given.",
    )
    race: Annotated[bool, TRAINING] = Field(
        True,
        description="With a budget, compare a few learning rates in short trainings before a long one; on "
        "if not given.",
    )
    learning_rate: Annotated[Finite | None, TRAINING] = Field(
        None, gt=0, le=1, description="Peak learning rate; the method's own for this base if not given."
    )
    rank: Annotated[int | None, TRAINING] = Field(
        None, ge=1, le=4096, description="LoRA rank; 16 if not given."
    )
    alpha: Annotated[Finite | None, TRAINING] = Field(
        None, gt=0, description="LoRA alpha: the update is scaled by alpha / rank; 32 if not given."
    )
    rslora: Annotated[bool | None, TRAINING] = Field(
        None, description="Scale LoRA by alpha / sqrt(rank) instead."
    )
    lora_plus: Annotated[Finite | None, TRAINING] = Field(
        None, gt=0, le=1000, description="LoRA+: learning rate of LoRA's B over that of A; 1 if not given."
    )
    top_layers: Annotated[int | None, TRAINING] = Field(
        None, ge=1, description="Adapt only so many of the last layers; all if not given."
    )
    targets: Annotated[Names, TRAINING] = Field(
        (), description="Linear layers to adapt, as in q_proj,v_proj, or all-linear, attention or mlp."
    )
    options: Annotated[Options, TRAINING] = Field(
        {}, description="Any option of a method, such as lora.rank=8; can be repeated. See rung methods."
    )
    batch_tokens: Annotated[int | None, TRAINING] = Field(
        None, ge=1, description="Tokens per optimizer step; chosen from the data if not given."
    )
    warmup: Annotated[Finite, TRAINING] = Field(
        0.06, ge=0, le=1, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: Annotated[Finite, TRAINING] = Field(0.0, ge=0, le=1, description="AdamW weight decay.")
    max_grad_norm: Annotated[Finite, TRAINING] = Field(
        1.0, gt=0, description="Gradient norm is clipped to this."
    )
    beta: Annotated[Finite, TRAINING] = Field(
        0.1, gt=0, le=100, description="DPO: how firmly it stays near the model it began with."
    )
    label_smoothing: Annotated[Finite, TRAINING] = Field(
        0.0, ge=0, lt=0.5, description="DPO: share of the pairs that are taken to be the wrong way round."
    )
    kl_penalty: Annotated[Finite | None, TRAINING] = Field(
        None,
        ge=0,
        description="Weight of a penalty on moving away from the base on general texts; 1 if not given, "
        "0 for none.",
    )
    replay: Annotated[Finite, TRAINING] = Field(
        0.0, ge=0, description="Weight of the loss of general texts in every step; 0 for none."
    )
    general_texts: Annotated[Path | None, TRAINING] = Field(
        None, description="File of general rows for both; what the base itself writes if not given."
    )
    general_share: Annotated[Finite, TRAINING] = Field(
        0.1, gt=0, le=1, description="Tokens of general texts in training, over those of the rows."
    )
    max_forgetting: Annotated[Finite | None, MAIN] = Field(
        None,
        gt=0,
        description="Most that a tuned rung may forget, in nats a token; its change is weakened to keep it.",
    )
    max_length: Annotated[int | None, DATA] = Field(
        None, ge=8, description="Longest row in tokens; the base's context if not given."
    )
    long_rows: Annotated[Literal["refuse", "drop"], DATA] = Field(
        "refuse", description="What to do with rows longer than that."
    )
    dev_fraction: Annotated[Finite, DATA] = Field(
        0.15, gt=0, lt=0.5, description="Share of the rows on which choices are made."
    )
    test_fraction: Annotated[Finite, DATA] = Field(
        0.2, gt=0, lt=0.5, description="Share of the rows held out where no test file is given."
    )
    max_dev: Annotated[int, DATA] = Field(200, ge=10, description="Most dev rows used.")
    max_test: Annotated[int | None, DATA] = Field(
        None,
        ge=10,
        description="Most test rows used; as many as show a difference of 5 points if not given.",
    )
    shots: Annotated[Counts, PROMPTING] = Field(
        (2, 4, 8, 16), description="Numbers of few-shot examples to choose from, separated by commas."
    )
    passages: Annotated[Counts, PROMPTING] = Field(
        (1, 2, 4, 8),
        min_length=1,
        description="Numbers of retrieved passages to choose from, separated by commas; see --documents.",
    )
    wrong_passages: Annotated[Finite, TRAINING] = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of train rows that are shown wrong passages where a rung is tuned with retrieval.",
    )
    max_new_tokens: Annotated[int | None, PROMPTING] = Field(
        None, ge=1, le=8192, description="Longest answer in tokens; from the targets in train if not given."
    )
    precision: Annotated[Literal["auto", "bf16", "fp32"], MACHINE] = Field(
        "auto", description="Number format of the base; auto takes the faster one."
    )
    bits: Annotated[Bits, MACHINE] = Field(
        None, description="Hold the base's weights in 4 or 8 bits: less memory, coarser numbers, as in QLoRA."
    )
    threads: Annotated[int | None, MACHINE] = Field(
        None, ge=1, le=1024, description="CPU threads; those that other processes leave free if not given."
    )
    checkpoint_seconds: Annotated[Finite, TRAINING] = Field(
        60.0, gt=0, description="Seconds between checkpoints."
    )
    price_per_hour: Annotated[Finite | None, MACHINE] = Field(
        None, ge=0, description="What an hour of this machine costs, for the money column."
    )
    currency: Annotated[str, MACHINE] = Field("USD", description="Currency of that price.")
    tolerance: Annotated[Finite, VERDICT] = Field(
        1.0, gt=0, le=100, description="Points by which the recommended rung may fall short of the best one."
    )
    splits: Annotated[int, VERDICT] = Field(
        1,
        ge=1,
        le=20,
        description="Splits of the rows into train, dev and test to repeat the cheap rungs and the finalists "
        "on; 5 helps where there are few rows.",
    )
    goal: Annotated[Finite | None, VERDICT] = Field(
        None, ge=0, description="Score that is good enough to use, on the scale of the screen, such as 80."
    )
    volume: Annotated[int, VERDICT] = Field(
        10_000, ge=1, description="Number of answers you will need; rungs are ordered by their cost at it."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as booleans, which Python counts as the numbers 1 and 0."""
        kind = cls.model_fields[info.field_name or ""].annotation
        if info.field_name != "options" and is_boolean(value) and bool not in (kind, *get_args(kind)):
            raise ValueError(
                "a yes or no (true, on, ...) stands for no other value; put quotes around a word"
            )
        return value

    @property
    def library(self) -> Path | None:
        """Where passages are retrieved from."""
        return self.documents or self.apis

    @property
    def columns(self) -> Columns:
        """The settings that say how to read a data file."""
        return Columns(
            format=self.format,
            prompt=self.prompt,
            completion=self.completion or self.label or self.target,
            classification=bool(self.label),
            messages=self.messages,
            system=self.system,
            text=self.text,
            roles=self.roles,
            ignore=self.ignore,
            group=self.group,
            header=self.header,
            label_names=self.label_names,
            source=self.mix_by if self.mix else None,
        )


def load_settings(config: Path | None, flags: Mapping[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Settings from a YAML file and flags (flags win; ``None`` flags are left out).

    Returns the settings and what was asked, without defaults, as plain values.
    Raises `UsageError` on an unknown key (with the nearest name), a wrong value or an unreadable file.
    """
    asked: dict[str, Any] = {}
    if config is not None:
        asked.update(read_yaml(config))
    asked.update({key: value for key, value in flags.items() if value is not None})
    settings = make_settings(asked, where=str(config) if config else "")
    return settings, settings.model_dump(mode="json", include=set(_sections(asked)))


def make_settings(asked: Mapping[str, Any], where: str = "") -> Settings:
    """Checked settings. Raises `UsageError`."""
    known = Settings.model_fields
    asked = _sections(asked)
    for key in asked:
        if key not in known:
            raise UsageError(
                f"unknown setting {show(key)}.{nearest(str(key), known)}",
                where=where,
                fix="See `rung climb --help` for all settings",
            )
    try:
        settings = Settings(**asked)
    except ValidationError as error:
        first = error.errors()[0]
        name, why = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"setting {name!r} cannot be {show(asked.get(name))}: {why}",
            where=where,
            fix=str(known[name].description),
        ) from None
    twice = [name for name in ("completion", "label", "target") if getattr(settings, name)]
    if len(twice) > 1:
        raise UsageError(
            f"{twice[0]!r} and {twice[1]!r} are two names of one setting", where=where, fix="Give one of them"
        )
    if settings.test is not None:
        require_one_split(settings, where)
    return settings


def _sections(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """`asked` with what belongs to methods, as in ``lora: {rank: 8}``, under ``options``, whose own win."""
    known = Settings.model_fields
    names = [key for key, value in asked.items() if key not in known and isinstance(value, Mapping)]
    if not names:
        return asked
    options = {name: {str(k).replace("-", "_"): v for k, v in asked[name].items()} for name in names}
    with suppress(ValueError):  # which is said where the setting is checked
        for name, own in options_of(asked.get("options", {})).items():
            options[name] = {**options.get(name, {}), **own}
    return {key: value for key, value in asked.items() if key not in names} | {"options": options}


def require_one_split(settings: Settings, where: str = "") -> None:
    """Raises `UsageError` where test rows of their own are to be split."""
    if settings.splits > 1:
        raise UsageError(
            f"a climb with test rows of its own has one split, not {settings.splits}",
            where=where,
            why="Splits hold out another part of FILE each time",
            fix="Leave out --splits, or give all rows in one file and leave out --test",
        )
