// biome-ignore-all lint/correctness/noUnusedFunctionParameters: only the parameter lists matter
import t, { type Test } from 'tap';
import { type BindingPlan, bindArguments, planBinding } from '../../src/task/bind-arguments.ts';
import { parseParameters } from '../../src/task/parameters.ts';

type Fn = (...args: never[]) => unknown;
const noneOptional = () => new Set<number>();

function plan(fn: unknown, options: { bind?: boolean; typing?: boolean; name?: string } = {}): BindingPlan {
  const { bind = false, typing = true, name = 'add' } = options;
  return planBinding(name, parseParameters(fn as Fn), { bind, typing }, noneOptional);
}

const bind = (fn: unknown, args: unknown[], kwargs: Record<string, unknown> = {}, options = {}) => [
  ...bindArguments(plan(fn, options), args, kwargs),
];
const refuses = (t: Test, text: string, fn: unknown, args: unknown[], kwargs = {}, options = {}) =>
  t.throws(() => bind(fn, args, kwargs, options), new TypeError(text), text);

const two = (x: unknown, y: unknown) => [x, y];
const defaulted = (x: unknown, y = 1) => [x, y];
const none = () => 0;
const many = (x: unknown, ...more: unknown[]) => [x, more];
const wrapper = (x: unknown, options = {}) => [x, options];
const keyworded = (x: unknown, kwargs: unknown) => [x, kwargs];
const picky = (to: unknown, { subject, cc }: { subject?: unknown; cc?: unknown }) => [to, subject, cc];
const open = (to: unknown, { subject, ...others }: Record<string, unknown>) => [to, subject, others];

t.test('positional only: the very array comes back', async (t) => {
  const args = [1, 2];
  t.equal(bindArguments(plan(two), args, {}), args);
  t.same(bind(many, [1, 2, 3]), [1, 2, 3]);
  t.same(bind(defaulted, [1]), [1]);
});

t.test('by name', async (t) => {
  t.same(bind(two, [], { y: 2, x: 1 }), [1, 2]);
  t.same(bind(two, [1], { y: 2 }), [1, 2]);
  t.same(bind(many, [], { x: 1 }), [1]);
  t.same(
    bind((a = 1, b = 2, c = 3) => [a, b, c], [], { c: 9 }),
    [undefined, undefined, 9],
    'undefined brings the default',
  );
});

t.test('leftovers go to a trailing object', async (t) => {
  t.same(bind(wrapper, ['a'], { b: 1, c: 2 }), ['a', { b: 1, c: 2 }]);
  t.same(bind(wrapper, [], { b: 1, x: 'a' }), ['a', { b: 1 }]);
  t.same(bind(wrapper, ['a']), ['a'], 'its default stays');
  t.same(bind(wrapper, ['a'], { options: { b: 1 } }), ['a', { b: 1 }], 'by its own name');
  t.same(bind(keyworded, ['a'], { b: 1 }), ['a', { b: 1 }]);
  t.same(bind(keyworded, ['a']), ['a', {}], 'always an object, as **kwargs');
  t.same(bind(picky, ['a'], { subject: 's' }), ['a', { subject: 's' }]);
  t.same(bind(picky, ['a']), ['a', {}], 'a pattern can always be destructured');
  t.same(bind(picky, ['a', { subject: 's' }]), ['a', { subject: 's' }], 'given in its place');
  t.same(bind(open, ['a'], { subject: 's', z: 1 }), ['a', { subject: 's', z: 1 }]);
  const [, collected] = bind(wrapper, ['a'], JSON.parse('{"__proto__": {"polluted": true}}'));
  t.ok(Object.hasOwn(collected as object, '__proto__'), 'an odd key is just a key');
  t.equal((collected as { polluted?: boolean }).polluted, undefined);
});

t.test("what does not fit, in Python's words", async (t) => {
  refuses(t, "add() missing 1 required positional argument: 'y'", two, [1]);
  refuses(t, "add() missing 2 required positional arguments: 'x' and 'y'", two, []);
  refuses(t, "add() missing 3 required positional arguments: 'a', 'b', and 'c'", new Function('a', 'b', 'c', ''), []);
  refuses(t, "add() missing 1 required positional argument: 'x'", two, [], { y: 1 });
  refuses(t, "add() missing 1 required positional argument: '[a, b]'", ([a, b]: number[]) => [a, b], []);
  refuses(t, "add() got an unexpected keyword argument 'z'", two, [1, 2], { z: 3 });
  refuses(t, "add() got an unexpected keyword argument 'z'", picky, ['a'], { subject: 's', z: 3 });
  refuses(t, "add() got an unexpected keyword argument 'z'", wrapper, ['a', {}], { z: 3 });
  refuses(t, "add() got an unexpected keyword argument 'z'", wrapper, ['a'], { options: {}, z: 3 });
  refuses(t, "add() got multiple values for argument 'x'", two, [1], { x: 1, y: 2 });
  refuses(t, 'add() takes 2 positional arguments but 3 were given', two, [1, 2, 3]);
  refuses(t, 'add() takes from 1 to 2 positional arguments but 3 were given', defaulted, [1, 2, 3]);
  refuses(t, 'add() takes from 0 to 1 positional arguments but 2 were given', (x = 1) => x, [1, 2]);
  refuses(t, 'add() takes 1 positional argument but 2 were given', (x: unknown) => x, [1, 2]);
  refuses(t, 'add() takes 0 positional arguments but 1 was given', none, [1]);
  refuses(t, "add() got an unexpected keyword argument 'z'", two, [1, 2, 3], { z: 1 });
});

t.test('a bound function: the context is not an argument', async (t) => {
  const bound = (context: unknown, x: unknown) => [context, x];
  t.same(bind(bound, [1], {}, { bind: true }), [1]);
  t.same(bind(bound, [], { x: 1 }, { bind: true }), [1]);
  refuses(t, "add() missing 1 required positional argument: 'x'", bound, [], {}, { bind: true });
  refuses(t, "add() got an unexpected keyword argument 'context'", bound, [1], { context: 1 }, { bind: true });
});

t.test('typing: false', async (t) => {
  const free = { typing: false };
  t.same(bind(two, [1], {}, free), [1]);
  t.same(bind(two, [1, 2, 3], {}, free), [1, 2, 3]);
  t.same(bind(two, [1], { z: 1 }, free), [1]);
  t.same(bind(two, [1], { x: 9, y: 2 }, free), [1, 2], 'the positional value wins');
  t.same(bind(picky, ['a'], { z: 1 }, free), ['a', { z: 1 }]);
});

t.test('without source: positional only', async (t) => {
  t.same(bind(Math.max, [1, 2, 3]), [1, 2, 3]);
  refuses(t, 'add() takes no keyword arguments', Math.max, [], { x: 1 });
  t.same(bind(Math.max, [1], { x: 1 }, { typing: false }), [1]);
});

t.test('what TypeScript marks as optional is not missed', async (t) => {
  const asked: unknown[] = [];
  const tolerant = planBinding('add', parseParameters(two as Fn), { bind: false, typing: true }, (parameters) => {
    asked.push(parameters.map((p) => p.name));
    return new Set([1]);
  });
  t.same(bindArguments(tolerant, [1, 2], {}), [1, 2]);
  t.same(asked, [], 'not asked when nothing is missing');
  t.same(bindArguments(tolerant, [1], {}), [1]);
  t.same(asked, [['x', 'y']]);
  t.throws(() => bindArguments(tolerant, [], {}), new TypeError("add() missing 1 required positional argument: 'x'"));
});
