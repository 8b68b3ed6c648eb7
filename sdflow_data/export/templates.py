"""Configurations of trainers as text: new ones, and templates with changed values.

Except for changed values and removed keys, a template stays the same byte for byte. In particular, its
comments are kept.
"""

import json
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

import tomlkit
import tomlkit.exceptions
import yaml

from sdflow.errors import ArgumentError

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Changes:
    """The changes to a template.

    Attributes:
        values: the new values. Mappings are merged into those of the template; other values replace its
            values.
        removed: the paths of keys to remove first.
    """

    values: dict[str, Any]
    removed: tuple[Keys, ...] = ()


class Notation(Protocol):
    """The syntax of configurations.

    Attributes:
        comment: the characters that begin a comment.
    """

    comment: str

    def read(self, text: str) -> Any:
        """Parse a text.

        Raises:
            ArgumentError: the text has another syntax.
        """

    def write(self, values: dict[str, Any]) -> str:
        """The text of values."""

    def edit(self, text: str, changes: Changes) -> str:
        """Change values in a text and keep everything else.

        Raises:
            ArgumentError: the text has another syntax, or a value to change is an alias.
        """


class YAML:
    """YAML. Values are edited at their positions in the text, which PyYAML reports."""

    comment = "#"

    def read(self, text: str) -> Any:
        """See `Notation.read`."""
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise _unreadable("YAML", error) from error

    def write(self, values: dict[str, Any]) -> str:
        """See `Notation.write`."""
        return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=2**31))

    def edit(self, text: str, changes: Changes) -> str:
        """See `Notation.edit`."""
        for keys in changes.removed:
            text = self._remove(text, keys)
        for keys, value in _leaves(changes.values):
            text = self._put(text, keys, value)
        self._compose(text)
        return text

    def _visible(self, text: str) -> str:
        """A text of the same length that PyYAML can read."""
        return text

    def _inline(self, value: Any) -> str:
        """A value on one line, as JSON, which is a subset of YAML."""
        return json.dumps(value, ensure_ascii=False)

    def _compose(self, text: str) -> yaml.Node:
        try:
            root = yaml.compose(self._visible(text), yaml.SafeLoader)
        except yaml.composer.ComposerError as error:
            raise ArgumentError("template", f"expected no alias of a value that changes: {error}") from error
        if not isinstance(root, yaml.MappingNode):
            raise ArgumentError("template", "expected keys with values, found something else")
        return root

    def _put(self, text: str, keys: Keys, value: Any) -> str:
        node, key = self._compose(text), None
        for depth, name in enumerate(keys):
            if not isinstance(node, yaml.MappingNode):
                return self._replace(text, key, node, _nested(keys[depth:], value))
            found = _find(node, name)
            if found is None:
                return self._insert(text, node, _nested(keys[depth:], value))
            key, node = found
        return self._replace(text, key, node, value)

    def _replace(self, text: str, key: yaml.Node | None, node: yaml.Node, value: Any) -> str:
        assert key is not None  # the root is a mapping
        start, end = node.start_mark.index, _end(node)
        if start < key.end_mark.index:
            raise ArgumentError("template", f"expected a value for {key.value}, found an alias of one")
        if start == end or _is_block(node):  # no value, or a value on the lines below the key
            start = self._visible(text).index(":", key.end_mark.index) + 1
            return text[:start] + " " + self._inline(value) + text[max(start, end) :]
        return text[:start] + self._inline(value) + text[end:]

    def _insert(self, text: str, mapping: yaml.MappingNode, values: dict[str, Any]) -> str:
        """Append to a mapping, on new lines below its last line if possible."""
        if mapping.flow_style:
            return self._insert_inline(text, mapping, values)
        first, last = mapping.value[0][0], mapping.value[-1]
        line_end = re.compile(r"\r?\n|\Z").search(text, max(last[0].end_mark.index, _end(last[1])))
        assert line_end is not None
        indent = " " * first.start_mark.column
        block = "".join(f"\n{indent}{line}" for line in self.write(values).splitlines())
        return text[: line_end.start()] + block + text[line_end.start() :]

    def _insert_inline(self, text: str, mapping: yaml.MappingNode, values: dict[str, Any]) -> str:
        close = mapping.end_mark.index - 1
        entries = self._inline(values)[1:-1]
        if not mapping.value:
            return text[:close] + entries + text[close:]
        end = _end(mapping.value[-1][1])
        comma = "" if "," in self._visible(text)[end:close] else ", "
        line_end = text.find("\n", end, close)
        if line_end < 0:
            return text[:end] + comma + entries + text[end:]
        indent = " " * mapping.value[0][0].start_mark.column
        return f"{text[:line_end]}\n{indent}{comma}{entries}{text[line_end:]}"

    def _remove(self, text: str, keys: Keys) -> str:
        node: yaml.Node = self._compose(text)
        mapping = None
        for name in keys:
            found = _find(node, name) if isinstance(node, yaml.MappingNode) else None
            if found is None:
                return text
            mapping, (key, node) = node, found
        assert isinstance(mapping, yaml.MappingNode)
        start, end = key.start_mark.index, max(key.end_mark.index, _end(node))
        if len(mapping.value) == 1 and not mapping.flow_style:  # an empty block would not be a mapping
            if keys[1:]:
                return self._put(text, keys[:-1], {})
            return text[:start] + "{}" + text[max(end, text.index(":", key.end_mark.index) + 1) :]
        if not mapping.flow_style:
            line_end = text.find("\n", max(end, text.index(":", key.end_mark.index)))
            return text[: text.rfind("\n", 0, start) + 1] + (text[line_end + 1 :] if line_end >= 0 else "")
        visible = self._visible(text)
        if after := re.compile(r"\s*,").match(visible, end):
            return text[:start] + text[after.end() :]
        before = re.search(r",\s*\Z", visible[:start])
        return text[: before.start() if before else start] + text[end:]


class CommentedJSON(YAML):
    """JSON with comments, as KAIR reads it. A comment begins at ``//``, even inside a string."""

    comment = "//"

    def read(self, text: str) -> Any:
        """See `Notation.read`."""
        try:
            return json.loads(self._visible(text))
        except ValueError as error:
            raise _unreadable("JSON", error) from error

    def write(self, values: dict[str, Any]) -> str:
        """See `Notation.write`."""
        return json.dumps(values, indent=2) + "\n"

    def _visible(self, text: str) -> str:
        blank = re.sub("//.*", lambda comment: " " * len(comment[0]), text)
        return blank.replace("\t", " ")  # tabs are invalid in JSON strings, and between values in YAML

    def _inline(self, value: Any) -> str:
        """A value in ASCII, because KAIR reads its file in the default encoding of the machine."""
        return json.dumps(value)


class TOML:
    """TOML, edited by tomlkit."""

    comment = "#"

    def read(self, text: str) -> Any:
        """See `Notation.read`."""
        return self._parse(text).unwrap()

    def write(self, values: dict[str, Any]) -> str:
        """See `Notation.write`."""
        return tomlkit.dumps(values)

    def edit(self, text: str, changes: Changes) -> str:
        """See `Notation.edit`."""
        document = self._parse(text)
        for *outer, last in changes.removed:
            table: Any = document
            for name in outer:
                table = table.get(name) if isinstance(table, Mapping) else None
            if isinstance(table, MutableMapping) and last in table:
                del table[last]
        _merge(document, changes.values)
        return tomlkit.dumps(document)

    def _parse(self, text: str) -> tomlkit.TOMLDocument:
        try:
            return tomlkit.parse(text)
        except tomlkit.exceptions.TOMLKitError as error:
            raise _unreadable("TOML", error) from error


def _merge(table: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(table.get(name), Mapping):
            _merge(table[name], value)
        else:
            table[name] = value


def _unreadable(notation: str, error: Exception) -> ArgumentError:
    return ArgumentError("template", f"expected {notation}, found: {' '.join(str(error).split())}")


def _leaves(values: Mapping[str, Any], above: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _nested(keys: Keys, value: Any) -> dict[str, Any]:
    for name in reversed(keys):
        value = {name: value}
    return dict(value)


def _find(mapping: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((key, value) for key, value in mapping.value if key.value == name), None)


def _is_block(node: yaml.Node) -> bool:
    """Whether a node is a collection in block style, without brackets."""
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _end(node: yaml.Node) -> int:
    """The end of a node in the text. PyYAML's own end mark of a block is behind the comments that follow."""
    if _is_block(node) and node.value:
        last = node.value[-1]
        if isinstance(node, yaml.SequenceNode):
            return _end(last)
        return max(int(last[0].end_mark.index) + 1, _end(last[1]))
    text = node.start_mark.buffer
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") and text is not None:
        return len(text[: node.end_mark.index].rstrip())
    return int(node.end_mark.index)
