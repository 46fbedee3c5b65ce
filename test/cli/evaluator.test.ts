/** Statements run in turn, as in a REPL: await at the top, names kept, promises waited for; what fails is thrown, and printed by nobody. */
import t from 'tap';
import { Evaluator } from '../../src/cli/evaluator.ts';

function open(t: { teardown(end: () => void): unknown }, names: Record<string, unknown> = {}): Evaluator {
  const evaluator = new Evaluator(names);
  t.teardown(() => evaluator.close());
  return evaluator;
}

t.test('values, names, and await', async (t) => {
  const evaluator = open(t, { later: (value: unknown) => new Promise((resolve) => setImmediate(() => resolve(value))), three: 3 });
  t.same(await evaluator.evaluate('three + 1\n'), { value: 4 });
  t.same(await evaluator.evaluate('const x = await later(5)\n'), { value: undefined });
  t.same(await evaluator.evaluate('x\n'), { value: 5 });
  t.same(await evaluator.evaluate('later("p")\n'), { value: 'p' }, 'the value of a promise');
  t.same(await evaluator.evaluate('({ a: 1 })\n'), { value: { a: 1 } });
});

t.test('a statement of several lines', async (t) => {
  const evaluator = open(t);
  t.equal(await evaluator.evaluate('function f() {\n'), null);
  t.same(await evaluator.evaluate('function f() {\n  return 9;\n}\n'), { value: undefined });
  t.same(await evaluator.evaluate('f()\n'), { value: 9 });
});

t.test('what fails is thrown, and the next statement runs', async (t) => {
  const evaluator = open(t);
  await t.rejects(evaluator.evaluate('throw new RangeError("no")\n'), { name: 'RangeError', message: 'no' });
  await t.rejects(evaluator.evaluate('await Promise.reject(new Error("later"))\n'), { message: 'later' });
  await t.rejects(evaluator.evaluate('Promise.reject(new Error("as a value"))\n'), { message: 'as a value' });
  await t.rejects(evaluator.evaluate('what is this\n'), { name: 'SyntaxError' });
  await t.rejects(evaluator.evaluate('nobody\n'), { name: 'ReferenceError' });
  t.same(await evaluator.evaluate('1\n'), { value: 1 });
});

t.test('console is that of the process', async (t) => {
  const evaluator = open(t);
  t.same(await evaluator.evaluate('console\n'), { value: console });
});
