import t from 'tap';
import { bindingMatches } from '../../src/broker/binding-match.ts';

t.test('the rule of AMQP', async (t) => {
  const topics: readonly (readonly [string, string, boolean])[] = [
    ['#', '', true],
    ['#', 'a.b.c', true],
    ['a.b', 'a.b', true],
    ['a.b', 'a.b.c', false],
    ['*', 'a', true],
    ['*', '', true],
    ['*', 'a.b', false],
    ['a.*', 'a', false],
    ['a.*.c', 'a.b.c', true],
    ['a.*.c', 'a.b.b.c', false],
    ['a.#', 'a', true],
    ['a.#', 'ab', false],
    ['a.#.z', 'a.z', true],
    ['a.#.z', 'a.b.c.z', true],
    ['a.#.z', 'a.b.c', false],
    ['#.z', 'z', true],
    ['#.*', '', true],
    ['#.b.#', 'a.b.c', true],
    ['#.b.#', 'a.c', false],
    ['a+b', 'aab', false],
  ];
  for (const [binding, key, expected] of topics) t.equal(bindingMatches('topic', binding, key), expected, `${binding} ~ ${key}`);
  t.equal(bindingMatches('direct', 'a.*', 'a.b'), false);
  t.equal(bindingMatches('direct', 'a', 'a'), true);
  t.equal(bindingMatches('fanout', 'x', 'y'), true);
  t.equal(bindingMatches('headers', '', ''), false);
});
