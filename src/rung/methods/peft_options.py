"""The options of a method of PEFT: the fields of its configuration class, as a class of settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import BeforeValidator, ConfigDict, ValidationInfo, create_model, field_validator
from pydantic import Field as Option
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from rung.methods.method import MethodSettings
from rung.setting_values import comma_list

KEPT_BY_PEFT = {  # what a configuration says about itself
    *("peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "runtime_config"),
}
_TRAINS_THE_BASE = {
    "bias",
    "modules_to_save",
    "trainable_token_indices",
    "layer_replication",
    "megatron_config",
}
_LIST = re.compile(r"[\w.]+(\s*,\s*[\w.]+)*,?")  # of names; anything else is a regular expression


class PeftSettings(MethodSettings):
    """What can be asked of a method of PEFT. What was not asked for is PEFT's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @field_validator("*")
    @classmethod
    def _no_dropout(cls, value: Any, info: ValidationInfo) -> Any:
        if value and "dropout" in (info.field_name or ""):
            raise ValueError("it must stay 0, since rung computes a layer again for its gradients")
        return value

    def asked(self) -> dict[str, Any]:
        """The options that were given."""
        return {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }


def _names(value: Any) -> Any:
    """``"q_proj,v_proj"`` as a list; PEFT reads a text as a regular expression."""
    if isinstance(value, str) and value != "all-linear" and _LIST.fullmatch(value.strip()):
        return comma_list(value)
    return value


@cache
def settings_class(config: type) -> type[PeftSettings]:
    """The settings that stand for PEFT's configuration class `config`."""
    try:
        hints = get_type_hints(config)
    except (NameError, TypeError):  # names that are imported for type checkers alone
        hints = {}
    own = {
        one.name: one
        for one in fields(config)
        if one.init and one.name not in KEPT_BY_PEFT | _TRAINS_THE_BASE
    }
    options = {name: _option(one, hints.get(name, Any)) for name, one in own.items()}
    made: type[PeftSettings] = create_model(config.__name__, __base__=PeftSettings, **options)  # type: ignore[call-overload]
    return made


def _option(one: Field[Any], kind: Any) -> tuple[Any, Any]:
    listed = "list[" in str(kind) or "List[" in str(kind)
    if not _readable(kind):
        kind = Any
    text = re.sub(r"\s+", " ", str(one.metadata.get("help") or "")).strip() or None
    if one.default_factory is not MISSING:
        default = Option(default_factory=one.default_factory, description=text)
    else:
        default = Option(default=None if one.default is MISSING else one.default, description=text)
    return Annotated[kind, BeforeValidator(_names)] if listed else kind, default


def _readable(kind: Any) -> bool:
    """Whether pydantic can check values of a type."""
    from pydantic import TypeAdapter

    try:
        TypeAdapter(kind)
    except (PydanticSchemaGenerationError, PydanticUserError, NameError):
        return False
    return True


def of_config(kind: type[PeftSettings], config: Mapping[str, Any]) -> dict[str, Any]:
    """The options among the keys of adapter_config.json."""
    return {name: value for name, value in config.items() if name in kind.model_fields}


def left_over(kind: type[PeftSettings], config: Mapping[str, Any]) -> dict[str, Any]:
    """The other keys, but for those that say nothing about what is computed."""
    return {k: v for k, v in config.items() if k not in kind.model_fields and k not in KEPT_BY_PEFT}
