/** `config show` prints what is in effect: valid TOML that loads to the same settings, with nothing secret in it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import toml from 'toml';
import { exampleConfig } from '../../src/config/example-config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { tomlPlace } from '../../src/config/setting.ts';
import { settingNames, settingsTable } from '../../src/config/settings-table.ts';
import { showConfig } from '../../src/config/show-config.ts';

t.test('shown and loaded again, the settings are the same', async (t) => {
  const cwd = t.testdir();
  const env = { HOME: cwd };
  const flags = {
    worker_tasks: ['a.ts', 'b "c", d.ts'],
    worker_concurrency: '3',
    result_expires: '0',
    worker_soft_shutdown_timeout: '1.5',
    broker_url: 'sqlite:///x.db',
    worker_loglevel: 'INFO',
    worker_purge: true,
  };
  const config = loadConfig({ flags, env, cwd });
  for (const origin of [false, true]) {
    const text = showConfig(config, { origin });
    writeFileSync(join(cwd, 'again.toml'), text);
    t.same(loadConfig({ flags: {}, env, cwd, file: 'again.toml' }).settings, config.settings);
    t.equal(text.includes('# --concurrency'), origin);
  }
});

t.test('each line says where its value comes from', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': '[worker]\n\nprefetch_multiplier = 2\n' });
  const text = showConfig(loadConfig({ flags: { worker_concurrency: '3' }, env: { HOME: cwd, UMBEL_ACCEPT_CONTENT: 'json' }, cwd }), {
    origin: true,
  });
  t.match(text, /^prefetch_multiplier = 2 +# umbel\.toml:3$/m);
  t.match(text, /^concurrency = 3 +# --concurrency$/m);
  t.match(text, /^accept_content = \["json"\] +# UMBEL_ACCEPT_CONTENT$/m);
  t.match(text, /^acks_late = false +# default$/m);
  t.match(text, /^# hostname is not set: .* # default$/m);
});

t.test('passwords are masked', async (t) => {
  const cwd = t.testdir();
  const config = loadConfig({ flags: {}, env: { HOME: cwd }, cwd });
  const secret = { ...config, settings: { ...config.settings, broker_url: 'amqp://me:geheim@h//', result_backend: 'redis://:geheim@h/0' } };
  const text = showConfig(secret, { origin: false });
  t.notMatch(text, /geheim/);
  t.equal(toml.parse(text).broker.url, 'amqp://me:**@h//');
});

t.test('the example is valid TOML, sets nothing, and uncommented holds every setting', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': exampleConfig() });
  const env = { HOME: cwd };
  t.same(loadConfig({ flags: {}, env, cwd }).settings, loadConfig({ flags: {}, env, cwd: join(cwd, '..') }).settings);
  const all = toml.parse(exampleConfig().replaceAll(/^#(?=[a-z_]+ = )/gm, ''));
  for (const name of settingNames) {
    const { section, key } = tomlPlace(name);
    const value = section === null ? all[key] : all[section][key];
    t.not(value, undefined, name);
    const { default: standard, example, kind } = settingsTable[name];
    const isEmpty = standard === null || (typeof standard === 'object' && Object.keys(standard).length === 0);
    t.same(kind.readValue(value), isEmpty ? example : standard, name);
  }
});
