/** The start in README.md, run as it is written: both terminals in an empty folder, with the real executable on the PATH. */
import { readFileSync, symlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { LiveFolder } from '../live/live-folder.ts';
import { umbelBinary } from '../live/umbel-binary.ts';

const text = readFileSync(resolve(import.meta.dirname, '../../README.md'), 'utf8');

/** The text of the one block with this info string. */
function block(info: string): string {
  const found = [...text.matchAll(new RegExp(`^\`\`\`${info}\\n(.*?)^\`\`\`$`, 'gms'))];
  if (found.length !== 1) throw new Error(`README.md must have one block "${info}", got ${found.length}`);
  return found[0]?.[1] ?? '';
}

void t.test('the sixty seconds', async (t) => {
  const folder = new LiveFolder(t);
  symlinkSync(umbelBinary, folder.file('umbel'));
  const env = { PATH: `${folder.path}:${process.env.PATH}` };
  // `exec` makes the shell the worker, so that its signals and its end are the worker's.
  const lines = block('sh first terminal').trimEnd().split('\n');
  const last = lines.pop() ?? '';
  t.match(last, /^umbel worker /);
  const script = [...lines, `exec ${last} -l info`].join('\n');
  const worker = folder.start([], { env, via: ['bash', '-euc', script] });
  await worker.line(/ ready\.$/);
  t.match(await worker.line(/app:/), /\/tasks\.ts$/, 'the banner names the module');

  const called = await folder.run('bash', ['-euc', block('sh second terminal')], { env });
  t.strictSame(called, { status: 0, signal: null, stdout: block('text second terminal'), stderr: '' });

  // Ctrl-C.
  worker.kill('SIGINT');
  t.strictSame(await worker.end(), { code: 1, signal: null });
  t.ok(
    worker.lines.some((line) => line.includes('Warm shutdown')),
    'it stops warmly',
  );
});

void t.test('the make targets it names exist', async (t) => {
  const makefile = readFileSync(resolve(import.meta.dirname, '../../Makefile'), 'utf8');
  const targets = [...text.matchAll(/\bmake ([a-z-]+)/g)].map((match) => match[1] ?? '').filter((word) => word !== '');
  t.ok(targets.length >= 5);
  for (const target of new Set(targets)) {
    if (target !== 'and') t.match(makefile, new RegExp(`^${target}:`, 'm'), `make ${target}`);
  }
});
