/** Tables with known keys as values of settings. */
import t from 'tap';
import { boolean, integer, path, Refusal, text } from '../../src/config/kind.ts';
import { field, fieldsText, table } from '../../src/config/table-kind.ts';

const fields = {
  name: field(text(), 'What it is called.'),
  retries: field(integer({ min: 0 }), 'How often.'),
  password: field(text(), 'Secret.', { secret: true }),
  file: field(path(), 'A file.'),
  policy: field(table({ fast: field(boolean(), 'Soon.') }), 'Which.'),
};
const kind = table(fields, { legacy_mode: 'means nothing here' });

function reason(value: unknown): string {
  return value instanceof Refusal ? value.reason : `accepted ${JSON.stringify(value)}`;
}

t.test('reads known keys, from TOML and from JSON text', async (t) => {
  t.strictSame(kind.readValue({}), {});
  t.strictSame(kind.readValue({ name: 'a', retries: 3, policy: { fast: true } }), { name: 'a', retries: 3, policy: { fast: true } });
  t.strictSame(kind.readText('{"name": "b"}'), { name: 'b' });
  t.ok(Object.isFrozen(kind.readValue({ name: 'a' })));
});

t.test('refuses everything else', async (t) => {
  t.equal(reason(kind.readValue({ nmae: 'a' })), 'has no key nmae; did you mean name?');
  t.match(reason(kind.readValue({ zzzzzzzz: 1 })), /^has no key zzzzzzzz; its keys are name, retries/);
  t.match(reason(kind.readValue({ toString: 1 })), /^has no key toString/);
  t.equal(reason(kind.readValue({ legacy_mode: true })), 'has a key legacy_mode that means nothing here');
  t.equal(reason(kind.readValue({ retries: -1 })), 'has a key retries that must be an integer not below 0, got -1');
  t.equal(reason(kind.readValue({ policy: { fats: true } })), 'has a key policy that has no key fats; did you mean fast?');
  t.equal(reason(kind.readValue({ password: 7777 })), 'has a key password that must be a non-empty text', 'a secret is not repeated');
  for (const bad of [null, [], 'x', 1, new Date(0)]) t.match(reason(kind.readValue(bad)), /^must be a table of name, /);
  t.match(reason(kind.readText('name = "a"')), /as JSON$/);
});

t.test('written as TOML, secrets masked', async (t) => {
  t.equal(kind.toToml({}), '{}');
  t.equal(
    kind.toToml({ name: 'a"b', retries: 1, password: 'geheim', policy: { fast: false } }),
    '{ name = "a\\"b", retries = 1, password = "********", policy = { fast = false } }',
  );
});

t.test('paths in it become absolute', async (t) => {
  t.strictSame(kind.resolve?.({ name: 'x', file: 'ca.pem' }, '/etc/umbel'), { name: 'x', file: '/etc/umbel/ca.pem' });
});

t.test('its keys with their meaning', async (t) => {
  t.match(fieldsText(fields), /^`name` \(a non-empty text\): What it is called\. `retries`/);
});
