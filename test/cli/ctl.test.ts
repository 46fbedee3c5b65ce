/** `umbel ctl`: which commands it knows and what it says of them; what is wrong is said before anybody is asked. A worker that answers: live/. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LineServer } from '../../src/driver/line-server.ts';
import { runInMemory } from './run-in-memory.ts';

const commands = `
import { controlCommand, inspectCommand } from 'umbel';
export const current_level = inspectCommand({ help: 'The level now.' }, () => 0);
export const raise_level = controlCommand(
  { args: [{ name: 'n', default: 1, type: 'integer' }], signature: '[N=1]', help: 'Raise the level.' },
  () => ({ ok: 'raised' }),
);
`;

t.test('umbel ctl', async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), 'umbel-ctl-'));
  t.teardown(() => rmSync(cwd, { recursive: true }));
  const modules = join(cwd, 'commands.mjs');
  writeFileSync(modules, commands);
  const ctl = (...words: string[]) =>
    runInMemory(['ctl', '--socket', join(cwd, 'nobody.sock'), ...words], { cwd, env: { UMBEL_WORKER_CONTROL_MODULES: modules } });

  await t.test('help has the commands of this machine, those of Celery and those of the operator', async (t) => {
    const { stdout, status } = await ctl('--help');
    t.equal(status, 0);
    for (const text of [
      'why\n',
      'dump\n',
      'debug <index> [close]\n',
      'active [true]\n',
      'pool_grow [n]\n',
      'raise_level [N=1]\n',
      'current_level\n',
    ])
      t.match(stdout, `  ${text}`);
    t.match(stdout, 'Raise the level.');
    t.notMatch(stdout, '  hello', 'what is between workers is not shown');
    const plain = await runInMemory(['ctl', '--help'], { cwd });
    t.notMatch(plain.stdout, 'raise_level', 'where they are configured');
  });

  await t.test('what is wrong', async (t) => {
    t.match(await ctl('wyh'), { status: 64, stderr: /got "wyh"; did you mean why\?/ });
    t.match(await ctl('why', 'not'), { status: 64, stderr: /usage: umbel ctl why: got "not" too much/ });
    t.match(await ctl('debug', 'one'), {
      status: 64,
      stderr: /usage: umbel ctl debug <index> \[close\]: index must be a whole number, got "one"/,
    });
    t.match(await ctl('raise_level', 'much'), { status: 64, stderr: /n must be a whole number/ });
    t.match(await ctl('why'), { status: 69, stderr: /\[LOCAL_UNREACHABLE\]/ });
  });

  await t.test('the worker of the configuration, where there are several', async (t) => {
    const run = join(cwd, 'run');
    mkdirSync(run);
    for (const node of ['shop@here', 'mail@here']) await listen(t, join(run, `${node}.sock`), node);
    await listen(t, join(cwd, 'of-its-own.sock'), 'own@here');
    const why = async (toml: string, ...words: string[]) => {
      writeFileSync(join(cwd, 'umbel.toml'), toml);
      return runInMemory(['ctl', 'why', ...words], { cwd, env: { RUNTIME_DIRECTORY: run } });
    };
    t.match(await why(''), { status: 64, stderr: /which worker\? Name it with -n: mail@here, shop@here/ });
    t.match(await why('[worker]\nhostname = "shop@here"\n'), { status: 0, stdout: 'shop@here\n' });
    t.match(await why('[worker]\nhostname = "shop@here"\n', '-n', 'mail@here'), { status: 0, stdout: 'mail@here\n' });
    t.match(await why('[worker]\nhostname = "gone@here"\n'), { status: 64, stderr: /which worker/ });
    t.match(await why('[worker]\nconcurency = 1\n', '-n', 'mail@here'), { status: 0, stdout: 'mail@here\n' }, 'a wrong file is no reason');
    t.match(await why('[worker]\ncontrol_socket = "of-%n.sock"\n', '-n', 'its-own@here'), { status: 0, stdout: 'own@here\n' });
  });

  await t.test('a configuration that is broken today keeps nobody from asking', async (t) => {
    const broken = { UMBEL_WORKER_CONCURRENCY: 'many' };
    const asked = (...words: string[]) => runInMemory(['ctl', '--socket', join(cwd, 'nobody.sock'), ...words], { cwd, env: broken });
    for (const name of ['why', 'active', 'stats', 'pool_grow']) t.match(await asked(name), { status: 69, stderr: /\[LOCAL_UNREACHABLE\]/ });
    t.match(await asked('raise_level'), { status: 78 }, 'only what is in a module of the configuration');
  });
});

/** A worker that says its name to whatever it is asked. */
async function listen(t: Test, path: string, node: string): Promise<void> {
  const server = new LineServer({ path, answer: () => Promise.resolve(JSON.stringify({ node, value: { ok: node } })) });
  await server.start();
  t.teardown(() => server.stop());
}
