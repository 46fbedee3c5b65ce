/** `[tasks.NAME]`: what is read, and what is refused at which line. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { parseToml } from '../../src/config/parse-toml.ts';
import type { Settings } from '../../src/config/settings-table.ts';
import { showConfig } from '../../src/config/show-config.ts';

function load(t: Test, toml: string, env: NodeJS.ProcessEnv = {}): Settings {
  const cwd = t.testdir();
  writeFileSync(join(cwd, 'umbel.toml'), toml);
  return loadConfig({ flags: {}, env, cwd }).settings;
}

function refusal(t: Test, toml: string): string {
  try {
    load(t, toml);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

t.test('names and patterns, in the order of the file', async (t) => {
  const { task_annotations: annotations } = load(
    t,
    `[tasks."mail.*"]
acks_late = true
[tasks."mail.send"]
rate_limit = "10/m"
max_retries = false
autoretry_for = ["TimeoutError"]
retry_backoff = 3
[tasks."/^old/"]
rate_limit = 0.5`,
  );
  t.strictSame(Object.entries(annotations), [
    ['mail.*', { acks_late: true }],
    ['mail.send', { rate_limit: '10/m', max_retries: false, autoretry_for: ['TimeoutError'], retry_backoff: 3 }],
    ['/^old/', { rate_limit: 0.5 }],
  ]);
});

t.test('from the environment as JSON; and what is shown is read again', async (t) => {
  const env = { UMBEL_TASK_ANNOTATIONS: '{"mail.send": {"rate_limit": "10/m", "retry_backoff": true, "max_retries": false}}' };
  const cwd = t.testdir();
  const config = loadConfig({ flags: {}, env, cwd });
  const expected = { 'mail.send': { rate_limit: '10/m', retry_backoff: true, max_retries: false } };
  t.same(config.settings.task_annotations, expected);
  const shown = showConfig(config, { origin: false });
  t.same((parseToml(shown).data as { tasks: unknown }).tasks, expected);
});

t.test('all that is wrong is said at once, each at its line', async (t) => {
  const toml = `[tasks."a.b"]
rate_limit = "10/d"
acks_lat = true
time_limit = 5
[tasks."/(/"]
acks_late = true
[tasks.c]
max_retries = true
[queues.q]
durabl = 1
[queues.r]
exchange_type = "x"
[node.w1]
concurency = 2
prefetch_multiplier = "many"`;
  const cwd = t.testdir();
  writeFileSync(join(cwd, 'umbel.toml'), toml);
  try {
    loadConfig({ flags: {}, env: {}, cwd });
    t.fail('accepted');
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    t.match(
      error.problems.map(({ message, place }) => `${place} ${message}`),
      [
        /^umbel.toml:2 tasks\."a\.b"\.rate_limit must be/,
        /^umbel.toml:3 tasks\."a\.b"\.acks_lat is not known; did you mean acks_late\?/,
        /^umbel.toml:5 tasks\."\/\(\/" must be a regular expression/,
        /^umbel.toml:8 tasks\.c\.max_retries must be/,
        /^umbel.toml:10 queues\.q\.durabl is not known/,
        /^umbel.toml:12 queues\.r\.exchange_type must be/,
        /^umbel.toml:14 .*w1\.concurency/,
        /^umbel.toml:15 .*w1\.prefetch_multiplier must be/,
      ],
    );
    t.equal(error.problems.length, 8);
  }
});

t.test('refused, each at its line', async (t) => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ['[tasks."a.b"]\nrate_limit = "10/d"', /tasks\."a\.b"\.rate_limit must be a rate such as '100\/m'.*got "10\/d".*umbel\.toml:2/s],
    ['[tasks."a.b"]\n\nrate_limits = 1', /tasks\."a\.b"\.rate_limits is not known; did you mean rate_limit\?.*umbel\.toml:3/s],
    ['[tasks.a.b]\nrate_limit = 1', /tasks\.a has no key b; a task name with dots stands in quotes: \[tasks\."a\.b"\].*umbel\.toml:1/s],
    ['[tasks."/(/"]\nacks_late = true', /must be a regular expression between its slashes/],
    ['[tasks.x]\nmax_retries = true', /tasks\.x\.max_retries must be an integer, 0 or more, or false for no limit, got true/],
    ['[tasks.x]\nautoretry_for = "TimeoutError"', /tasks\.x\.autoretry_for must be a list/],
    ['[tasks]\nx = 3', /tasks\.x must be a table/],
    ['tasks = ["tasks.ts"]', /tasks must be a table for each task name or pattern, \[tasks\."NAME"\]/],
    ['[task]\nannotations = 3', /task\.annotations is not a setting; did you mean tasks\?/],
  ];
  for (const [toml, expected] of rows) t.match(refusal(t, toml), expected, toml);
});
