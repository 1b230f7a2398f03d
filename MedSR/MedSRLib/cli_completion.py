"""Completion scripts for shells, made from the parser: verbs, flags and the choices of flags; paths by the shell itself."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator


def places(parser: argparse.ArgumentParser, place: str = "medsr") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """("medsr", its parser), ("medsr models", its parser), ("medsr models list", …) …"""
    yield place, parser
    for word, inner in verbs_of(parser).items():
        yield from places(inner, f"{place} {word}")


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The verbs that may follow."""
    return {
        word: inner
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for word, inner in action.choices.items()
    }


def flags_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The flags that may follow."""
    return [action for action in parser._actions if action.option_strings]


def values_of(action: argparse.Action) -> list[str]:
    """What may stand behind a flag, or in a place, where that is a short list."""
    if isinstance(action, argparse._SubParsersAction):
        return []
    listed = re.fullmatch(r"\{(.+)\}", action.metavar) if isinstance(action.metavar, str) else None
    return [str(choice) for choice in action.choices] if action.choices else listed[1].split(",") if listed else []


def words_at(parser: argparse.ArgumentParser) -> list[str]:
    """What may follow, beside paths."""
    plain = [value for action in parser._actions if not action.option_strings for value in values_of(action)]
    return [*verbs_of(parser), *plain]


def _flag_words(parser: argparse.ArgumentParser) -> list[str]:
    return [word for action in flags_of(parser) for word in action.option_strings if word.startswith("--")]


def _cases(parser: argparse.ArgumentParser) -> tuple[list[str], list[tuple[str, str]], list[tuple[str, str, str]]]:
    """Every place but the first; (place and flag, its values); (place, its words, its flags)."""
    found = list(places(parser))
    values = [
        (f"{place} {word}", " ".join(values_of(a))) for place, p in found for a in flags_of(p) for word in a.option_strings if values_of(a)
    ]
    return [place for place, _ in found[1:]], values, [(place, " ".join(words_at(p)), " ".join(_flag_words(p))) for place, p in found]


def bash(parser: argparse.ArgumentParser) -> str:
    """For bash: source it, or put it into bash-completion's folder."""
    inner, values, words = _cases(parser)
    lines = [
        "# bash completion of medsr",
        "_medsr() {",
        '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" place=medsr word words= flags=',
        '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        '    case "$place $word" in',
        "      " + "|".join(f'"{place}"' for place in inner) + ') place="$place $word" ;;',
        "    esac",
        "  done",
        '  case "$place $prev" in',
        *(f'    "{place}") COMPREPLY=($(compgen -W "{choices}" -- "$cur")); return ;;' for place, choices in values),
        "  esac",
        '  case "$place" in',
        *(f'    "{place}") words="{plain}" flags="{flags}" ;;' for place, plain, flags in words),
        "  esac",
        '  if [[ "$cur" == -* ]]; then words="$flags"; fi',
        '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        "}",
        "complete -o default -o bashdefault -F _medsr medsr",
    ]
    return "\n".join(lines) + "\n"


def zsh(parser: argparse.ArgumentParser) -> str:
    """For zsh: source it, or save it as _medsr in a folder of $fpath."""
    inner, values, words = _cases(parser)
    lines = [
        "#compdef medsr",
        "_medsr() {",
        '  local place=medsr word prev="${words[CURRENT-1]}"',
        "  local -a plain flags",
        '  for word in "${(@)words[2,CURRENT-1]}"; do',
        '    case "$place $word" in',
        "      (" + "|".join(f'"{place}"' for place in inner) + ') place="$place $word" ;;',
        "    esac",
        "  done",
        '  case "$place $prev" in',
        *(f'    ("{place}") compadd -- {choices}; return ;;' for place, choices in values),
        "  esac",
        '  case "$place" in',
        *(f'    ("{place}") plain=({plain}) flags=({flags}) ;;' for place, plain, flags in words),
        "  esac",
        '  if [[ "$PREFIX" == -* ]]; then compadd -a flags; return; fi',
        "  if (( $#plain )); then compadd -a plain; else _files; fi",
        "}",
        'if [ "$funcstack[1]" = "_medsr" ]; then _medsr "$@"; else compdef _medsr medsr; fi',
    ]
    return "\n".join(lines) + "\n"


def fish(parser: argparse.ArgumentParser) -> str:
    """For fish: save it as ~/.config/fish/completions/medsr.fish."""
    lines = ["# fish completion of medsr"]
    for place, inner in places(parser):
        here = " ; and ".join(f"__fish_seen_subcommand_from {word}" for word in place.split()[1:])
        if verbs_of(inner):
            unseen = "not __fish_seen_subcommand_from " + " ".join(verbs_of(inner))
            condition = f" -n {shlex.quote(f'{here} ; and {unseen}' if here else unseen)}"
        else:
            condition = f" -n {shlex.quote(here)}"
        for word in words_at(inner):
            lines.append(f"complete -c medsr -f{condition} -a {word}")
        for action in flags_of(inner):
            name = next(word[2:] for word in action.option_strings if word.startswith("--"))
            values = values_of(action)
            takes = f" -x -a {shlex.quote(' '.join(values))}" if values else "" if action.nargs == 0 else " -r"
            lines.append(f"complete -c medsr{condition} -l {name}{takes} -d {shlex.quote(_short(action.help))}")
    return "\n".join(lines) + "\n"


def _short(text: str | None) -> str:
    return re.split(r"[.;\[]", (text or "").replace("%%", "%"))[0].strip()


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
