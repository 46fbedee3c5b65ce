/** The declarations themselves: defaults follow their own rule, names are unambiguous, secrets are marked. */
import t from 'tap';
import { Refusal } from '../../src/config/kind.ts';
import { dottedName, environmentName, masked, tomlPlace } from '../../src/config/setting.ts';
import { settingNames, settingsTable, settingsWithFlagOn } from '../../src/config/settings-table.ts';

t.test('defaults and examples follow the rule of their setting', async (t) => {
  for (const name of settingNames) {
    const { kind, default: value, example, defaultText } = settingsTable[name];
    if (value === null) t.ok(defaultText, `${name}: says what no value means`);
    else t.same(kind.readValue(value), value, name);
    if (example !== undefined) t.notOk(kind.readValue(example) instanceof Refusal, `${name}: example`);
    if (value === null) t.not(example, undefined, `${name}: has an example`);
  }
});

t.test('no two settings share a flag, a place or a variable', async (t) => {
  const seen = new Map<string, string>();
  for (const name of settingNames) {
    const { flag, celeryEnvironment = [] } = settingsTable[name];
    for (const one of [...(flag?.names ?? []), dottedName(name), environmentName(name), ...celeryEnvironment]) {
      t.equal(seen.get(one), undefined, `${one} of ${name}`);
      seen.set(one, name);
    }
  }
  t.ok(seen.size > 2 * settingNames.length);
});

t.test('what sounds secret is masked', async (t) => {
  for (const name of settingNames) {
    if (/(password|secret|token|(?<!routing)_key)$/.test(name)) t.equal(settingsTable[name].secret, 'whole', name);
    if (settingsTable[name].kind.label === 'URL') t.equal(settingsTable[name].secret, 'url', name);
  }
  t.equal(masked('whole', 'geheim'), '********');
  t.equal(masked('url', 'redis://:geheim@h'), 'redis://:**@h');
  t.equal(masked(undefined, 'plain'), 'plain');
});

t.test('a doc is sentences', async (t) => {
  for (const name of settingNames) {
    const { doc, celeryDiffers } = settingsTable[name];
    t.match(doc, /^[A-Z].*\.$/s, name);
    if (celeryDiffers !== undefined) t.match(celeryDiffers, /\.$/, name);
  }
});

t.test('places in the file', async (t) => {
  t.same(tomlPlace('worker_concurrency'), { section: 'worker', key: 'concurrency' });
  t.same(tomlPlace('accept_content'), { section: null, key: 'accept_content' });
});

t.test('flags by command', async (t) => {
  t.same(settingsWithFlagOn('global').toSorted(), ['broker_url', 'result_backend', 'worker_log_color', 'worker_tasks', 'worker_workdir']);
  t.ok(settingsWithFlagOn('worker').includes('worker_concurrency'));
  t.notOk(settingsWithFlagOn('worker').includes('broker_url'));
  t.same(settingsWithFlagOn('call'), []);
});
