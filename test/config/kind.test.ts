/** Kinds of values: what they accept from text and from TOML, and what they say when they do not. */
import t from 'tap';
import {
  boolean,
  integer,
  type Kind,
  listOf,
  oneOf,
  path,
  Refusal,
  seconds,
  secondsOrNever,
  text,
  tomlString,
} from '../../src/config/kind.ts';

function reason(value: unknown): string {
  return value instanceof Refusal ? value.reason : `accepted ${JSON.stringify(value)}`;
}

t.test('integer', async (t) => {
  const positive = integer({ min: 1 });
  t.equal(positive.readText(' 12 '), 12);
  t.equal(positive.readValue(3), 3);
  t.equal(reason(positive.readValue(0)), 'must be a positive integer, got 0');
  for (const bad of ['0', '-1', '1.5', '1e3', '0x10', '', 'abc', '9007199254740993']) t.ok(positive.readText(bad) instanceof Refusal, bad);
  for (const bad of [1.5, '3', true, null, Number.NaN, 2n, new Date(0)]) t.ok(positive.readValue(bad) instanceof Refusal, String(bad));
  t.equal(reason(integer({ min: 0, max: 255 }).readValue(256)), 'must be an integer from 0 to 255, got 256');
  t.equal(reason(integer({ max: 9 }).readText('10')), 'must be an integer not above 9, got 10');
  t.equal(integer().readText('-5'), -5);
});

t.test('seconds', async (t) => {
  t.equal(seconds().readText('1.5'), 1.5);
  t.equal(seconds().readText('.5'), 0.5);
  t.equal(seconds().readValue(0), 0);
  t.ok(seconds({ above: 0 }).readValue(0) instanceof Refusal);
  for (const bad of ['-1', '5s', 'inf', 'NaN', '', '1e9']) t.ok(seconds().readText(bad) instanceof Refusal, bad);
  t.ok(seconds().readValue(Number.POSITIVE_INFINITY) instanceof Refusal);
  t.equal(secondsOrNever().readText('0'), null);
  t.equal(secondsOrNever().readValue(0), null);
  t.equal(secondsOrNever().readValue(5), 5);
  t.equal(secondsOrNever().toToml(null), '0');
});

t.test('boolean', async (t) => {
  for (const yes of ['1', 'true', 'YES', 'on']) t.equal(boolean().readText(yes), true, yes);
  for (const no of ['0', 'False', 'no', 'OFF']) t.equal(boolean().readText(no), false, no);
  for (const bad of ['2', 'y', '', 'constructor']) t.ok(boolean().readText(bad) instanceof Refusal, bad);
  for (const bad of [1, 'true', null]) t.ok(boolean().readValue(bad) instanceof Refusal, String(bad));
});

t.test('one of some words', async (t) => {
  const kind = oneOf(['default', 'fair'], { aliases: { ofair: 'fair' }, refused: (word) => (word === 'eager' ? 'is not built' : null) });
  t.equal(kind.readText('FAIR'), 'fair');
  t.equal(kind.readValue('ofair'), 'fair');
  t.equal(reason(kind.readValue('eager')), 'is not built');
  t.equal(reason(kind.readValue('x')), `must be 'default' or 'fair', got "x"`);
  t.equal(reason(kind.readValue(1)), `must be 'default' or 'fair', got 1`);
  t.equal(reason(oneOf(['a', 'b', 'c']).readText('constructor')), `must be 'a', 'b' or 'c', got "constructor"`);
});

t.test('lists name the item that is wrong', async (t) => {
  const kind = listOf(integer({ min: 1 }), 'numbers');
  t.same(kind.readText(' 1, 2 ,,3'), [1, 2, 3]);
  t.same(kind.readText(''), []);
  t.equal(reason(kind.readValue([1, 0])), 'must be a list of numbers; item 2 must be a positive integer, got 0');
  t.equal(reason(kind.readValue('1')), 'must be a list of numbers, got "1"');
  t.ok(Object.isFrozen(kind.readValue([1])));
});

t.test('paths are resolved against a folder, also in lists', async (t) => {
  t.equal(path().resolve?.('a/../b', '/base'), '/base/b');
  t.equal(path().resolve?.('/abs/%n.log', '/base'), '/abs/%n.log');
  t.same(listOf(path(), 'paths').resolve?.(['x', '/y'], '/base'), ['/base/x', '/y']);
});

t.test('long values are cut in messages', async (t) => {
  t.ok(reason(integer().readValue('x'.repeat(1000))).length < 120);
});

t.test('a TOML string of anything is read back by TOML', async (t) => {
  const { default: toml } = await import('toml');
  for (const value of ['plain', 'a"b\\c', 'tab\tnew\nline', '\u007f\u0000\u001b', '😀é', '']) {
    t.equal(toml.parse(`a = ${tomlString(value)}`).a, value, JSON.stringify(value));
  }
});

t.test('what a kind writes it reads', async (t) => {
  const { default: toml } = await import('toml');
  const check = <T>(kind: Kind<T>, value: T): void => {
    t.same(kind.readValue(toml.parse(`a = ${kind.toToml(value)}`).a), value, kind.label);
  };
  check(integer(), -3);
  check(seconds(), 0.25);
  check(secondsOrNever(), null);
  check(boolean(), false);
  check(text(), 'x"y');
  check(oneOf(['a', 'b']), 'b');
  check(listOf(path(), 'paths'), ['a b', 'c,d']);
});
