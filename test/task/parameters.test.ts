// biome-ignore-all lint: the functions here are written in every odd way on purpose
import t from 'tap';
import { isClass, type Parameter, parseParameters } from '../../src/task/parameters.ts';

type Fn = (...args: never[]) => unknown;

/** Each parameter as one short text: `?` has a default, `{}` collects, keys of a pattern, `…` takes any key. */
function shown(fn: unknown): readonly string[] | null {
  return (
    parseParameters(fn as Fn)?.map((p: Parameter) => {
      const what =
        p.kind === 'rest' ? `...${p.name ?? 'pattern'}` : p.keys === null ? (p.name ?? '[]') : `{${p.keys}${p.takesAnyKey ? '…' : ''}}`;
      return what + (p.defaultIsEmptyObject ? '={}' : p.hasDefault ? '?' : '');
    }) ?? null
  );
}

/** A function from text, so that the formatter and the type checker leave it as it is. */
const made = (text: string): unknown => new Function(`return (${text})`)();

t.test('every way to write a function', async (t) => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['function () {}', []],
    ['function add(x, y) {}', ['x', 'y']],
    ['async function add(x, y) {}', ['x', 'y']],
    ['function* add(x, y) {}', ['x', 'y']],
    ['async function * add(x,) {}', ['x']],
    ['x => x', ['x']],
    ['async x => x', ['x']],
    ['async => async', ['async']],
    ['async (x) => x', ['x']],
    ['() => (1, 2)', []],
    ['(x, y) => ({ x, y })', ['x', 'y']],
    ['({ add(x, y) {} }).add', ['x', 'y']],
    ['({ async add(x) {} }).add', ['x']],
    ['({ async *add(x) {} }).add', ['x']],
    ['({ async(x) {} }).async', ['x']],
    ['({ function(x) {} }).function', ['x']],
    ['({ "odd (name" (x) {} })["odd (name"]', ['x']],
    ['({ [["a", (1)].join("(")](x) {} })["a(1"]', ['x']],
    ['({ 12(x) {} })[12]', ['x']],
    ['class { static add(x) {} }.add', ['x']],
    ['class { #p(x) {} get p() { return this.#p } }.prototype, new (class { #p(x) {} get p() { return this.#p } })().p', ['x']],
    ['function /* ( */ add /* (a) */ (/* b, */ x /* , */, // c\n y) {}', ['x', 'y']],
    ['function $(_, $1, größe, \\u0061b) {}', ['_', '$1', 'größe', '\\u0061b']],
  ];
  for (const [text, expected] of cases) t.same(shown(made(text)), expected, text);
});

t.test('defaults with any expression', async (t) => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['(x = 1, y) => 0', ['x?', 'y']],
    ['(x = ",)", y = \',("\', z) => 0', ['x?', 'y?', 'z']],
    ['(x = `,${ [1, ")"].map((a, b) => `${a},`) })`, y) => 0', ['x?', 'y']],
    ['(x = /[,)/]\\/,/g, y = 4 / 2 / 1, z = (1) / 2) => 0', ['x?', 'y?', 'z?']],
    ['(x = (a, b) => [a, b], y = function (a, b) { return { a, b } }) => 0', ['x?', 'y?']],
    ['(x = { a: 1, b: [2, 3] }, y = [[], {}]) => 0', ['x?', 'y?']],
    ['(x = {}, y = { /* nothing */ }, z = ({})) => 0', ['x={}', 'y={}', 'z?']],
    ['(x = {}.a, y = {} || 1) => 0', ['x?', 'y?']],
    ['(x = a => a, y = class { m(a, b) {} }) => 0', ['x?', 'y?']],
  ];
  for (const [text, expected] of cases) t.same(shown(made(text)), expected, text);
});

t.test('patterns and rest', async (t) => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['({ a, b: c, d = 1, "e f": g, h: { i, j } }) => 0', ['{a,b,d,e f,h}']],
    ['(x, { a, ...others }) => 0', ['x', '{a…}']],
    ['({ [Symbol.iterator]: a, b }) => 0', ['{b…}']],
    ['({ a, b } = {}) => 0', ['{a,b}={}']],
    ['({ a = ",", b } = { a: 1 }, y) => 0', ['{a,b}?', 'y']],
    ['([a, b], y) => 0', ['[]', 'y']],
    ['(x, ...args) => 0', ['x', '...args']],
    ['(...[a, b]) => 0', ['...pattern']],
  ];
  for (const [text, expected] of cases) t.same(shown(made(text)), expected, text);
});

t.test('a TypeScript function, types removed', async (t) => {
  function send(to: string, { subject, cc = [] }: { subject: string; cc?: string[] }, retries?: number): string {
    return to + subject + cc + retries;
  }
  t.same(shown(send), ['to', '{subject,cc}', 'retries']);
});

t.test('functions without source have no names', async (t) => {
  t.equal(parseParameters(Math.max as Fn), null);
  t.equal(parseParameters(((x: number) => x).bind(null) as Fn), null);
});

t.test('the place where a binding ends', async (t) => {
  const fn = made('function f(first, { a } = {}, ...rest) {}') as Fn;
  const source = Function.prototype.toString.call(fn);
  t.same(
    parseParameters(fn)?.map((p) => source.slice(0, p.end)),
    ['function f(first', 'function f(first, { a }', 'function f(first, { a } = {}, ...rest'],
  );
});

t.test('classes', async (t) => {
  t.equal(isClass(class {} as unknown as Fn), true);
  t.equal(isClass(class classy {} as unknown as Fn), true);
  t.equal(isClass(function classy() {} as Fn), false);
});
