/** What a command sees of its command line. */
import t from 'tap';
import { createContext } from '../../src/cli/create-context.ts';
import { configOption, globalOptions, quietOption } from '../../src/cli/global-options.ts';
import { flagOption, type OptionSpec, optionalValueOption, settingOption, valueOption } from '../../src/cli/option-spec.ts';
import { integer, seconds } from '../../src/config/kind.ts';
import { settingsWithFlagOn } from '../../src/config/settings-table.ts';

const retries = valueOption({ names: ['--retries'], argument: 'N', kind: integer({ min: 0 }), doc: '' });
const wait = optionalValueOption({ names: ['--wait'], argument: 'SECONDS', kind: seconds(), optional: /^\d/, doc: '' });
const verbose = flagOption({ names: ['--verbose'], doc: '' });

function context(values: readonly (readonly [OptionSpec, readonly (string | true)[]])[], cwd = '/') {
  const written = { stdout: '', stderr: '' };
  const ctx = createContext({ args: ['x'], values: new Map(values) }, [], {
    env: { HOME: cwd },
    cwd,
    stdout: { write: (text) => (written.stdout += text) },
    stderr: { write: (text) => (written.stderr += text) },
  });
  return { ctx, written };
}

function byName(name: string): OptionSpec {
  const found = [...globalOptions, ...settingsWithFlagOn('worker').map(settingOption)].find((spec) => spec.names.includes(name));
  if (found === undefined) throw new Error(name);
  return found;
}

t.test('own options are typed values, the last one counts', async (t) => {
  const { ctx } = context([
    [retries, ['1', '2']],
    [wait, [true]],
  ]);
  const value: number | undefined = ctx.option(retries);
  t.equal(value, 2);
  t.equal(ctx.option(wait), true);
  t.equal(ctx.option(verbose), undefined);
  t.same(ctx.args, ['x']);
});

t.test('flags of settings are kept as typed and load with the configuration', async (t) => {
  const { ctx } = context(
    [
      [byName('-A'), ['a.ts', 'b.ts']],
      [byName('-c'), ['1', '3']],
      [byName('-C'), [true]],
      [byName('--purge'), [true]],
    ],
    t.testdir(),
  );
  t.same(ctx.flags, { worker_tasks: ['a.ts', 'b.ts'], worker_concurrency: '3', worker_log_color: false, worker_purge: true });
  const { settings, origin } = ctx.loadConfig();
  t.equal(settings.worker_concurrency, 3);
  t.equal(settings.worker_log_color, false);
  t.equal(origin('worker_log_color').text, '--no-color');
});

t.test('all values of the wrong kind at once', async (t) => {
  t.throws(
    () =>
      context([
        [retries, ['-1']],
        [byName('-c'), ['x']],
        [wait, ['soon']],
      ]),
    {
      code: 'USAGE',
      message:
        '--retries must be an integer not below 0, got -1\n' +
        '  worker.concurrency must be a positive integer, got x (--concurrency)\n' +
        '  --wait must be a number of seconds, 0 or more, got "soon"',
    },
  );
});

t.test('data and talk are whole lines; --quiet drops the talk', async (t) => {
  const loud = context([]);
  loud.ctx.stdout('a');
  loud.ctx.stdout('b\n');
  loud.ctx.stderr('c');
  t.same(loud.written, { stdout: 'a\nb\n', stderr: 'c\n' });
  const quiet = context([
    [quietOption, [true]],
    [configOption, ['u.toml']],
  ]);
  quiet.ctx.stdout('a');
  quiet.ctx.stderr('c');
  t.same(quiet.written, { stdout: 'a\n', stderr: '' });
  t.equal(quiet.ctx.quiet, true);
  t.equal(quiet.ctx.configFile, 'u.toml');
});
