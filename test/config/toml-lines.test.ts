/** Every key of a TOML text is found on its line, whatever stands around it. The grammar of the package is the oracle. */
import { createRequire } from 'node:module';
import t from 'tap';
import toml from 'toml';
import { findKeyLines } from '../../src/config/toml-lines.ts';

const hard = `# [worker] in a comment
title = "a # b = 'c'" # not = a key
"quoted key" = 1
'literal \\key' = 2
"esc\\u0041\\"d" = 3
"\\x41\\e\\U0001F600" = 4
a.b . "c.d" = 1979-05-27T07:32:00Z

multi = """
[not.a.table]
concurrency = 1
"quotes" inside \\""" and at the end"""""
literal = '''
x = [
it''s ''''
[ worker . pool ] # header
concurrency = 4
queues = [
  "a", # first
  [ 'b]', { c = "}" , d = [1,
     2] } ],
  # last = 1
]
inline = { x = 1, y.z = "=",
  w = {} , }
[[list]]
a = 1
  [[list]]
  a = 2
  [list.sub]
  b = 3
[empty]
[after."the.end"]\r
crlf = true\r
last = 1e3`;

interface Node {
  readonly type: string;
  readonly value: unknown;
  readonly key: string | string[];
  readonly offset: number;
}

t.test('lines agree with the grammar of the package', async (t) => {
  const parser: { parse(source: string): Node[] } = createRequire(import.meta.url)('toml/lib/parser.js');
  toml.parse(hard);
  const lines = findKeyLines(hard);
  const lineAt = (offset: number): number => hard.slice(0, offset).split('\n').length;
  let table: (string | number)[] = [];
  let elements = 0;
  let checked = 0;
  for (const node of parser.parse(hard)) {
    if (node.type === 'ObjectPath') {
      table = node.value as string[];
      if (table[0] === 'list') table = ['list', 'sub'];
      t.equal(lines.lineOf(table), lineAt(node.offset), JSON.stringify(table));
    } else if (node.type === 'ArrayPath') {
      table = [...(node.value as string[]), elements++];
      t.equal(lines.lineOf(table), lineAt(node.offset), JSON.stringify(table));
    } else {
      const path = [...table, ...[node.key].flat()];
      t.equal(lines.lineOf(path), lineAt(node.offset), JSON.stringify(path));
    }
    checked++;
  }
  t.equal(checked, 22);
});

t.test('places inside values', async (t) => {
  const lines = findKeyLines(hard);
  const lineOf = (text: string): number => hard.slice(0, hard.indexOf(text)).split('\n').length;
  t.equal(lines.lineOf(['worker', 'pool', 'queues', 0]), lineOf('"a", # first'));
  t.equal(lines.lineOf(['worker', 'pool', 'queues', 1]), lineOf("[ 'b]'"));
  t.equal(lines.lineOf(['worker', 'pool', 'queues', 1, 1, 'd', 1]), lineOf('2] } ]'));
  t.equal(lines.lineOf(['worker', 'pool', 'inline', 'y', 'z']), lineOf('inline ='));
  t.equal(lines.lineOf(['worker', 'pool', 'inline', 'w']), lineOf('  w = {}'));
  t.equal(lines.lineOf(['worker', 'pool', 'last']), null);
  t.equal(lines.lineOf(['not', 'a', 'table']), null);
  t.equal(lines.lineOf(['concurrency']), null);
});

t.test('every key that the package finds has a line', async (t) => {
  const lines = findKeyLines(hard);
  const walk = (value: unknown, path: (string | number)[]): void => {
    if (path.length > 0) t.type(lines.lineOf(path), 'number', JSON.stringify(path));
    if (Array.isArray(value)) value.forEach((item, index) => void walk(item, [...path, index]));
    else if (typeof value === 'object' && value !== null && !(value instanceof Date)) {
      for (const [key, inner] of Object.entries(value)) walk(inner, [...path, key]);
    }
  };
  const { list: _list, ...rest } = toml.parse(hard);
  walk(rest, []);
});

t.test('an invalid text ends, whatever it is', async (t) => {
  for (let length = 0; length < hard.length; length += 7) findKeyLines(hard.slice(length, length * 2));
  for (const text of ['[', '[[', 'a', 'a =', 'a = [', 'a = {', 'a = {b', '= 1', ']', '"', "'''", '\\', '[a\nb = [[[', '\u0000'])
    findKeyLines(text);
  t.pass('ended');
});
