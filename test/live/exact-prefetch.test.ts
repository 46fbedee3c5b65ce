/** worker.disable_prefetch: a worker whose children are busy holds nothing that another could begin, on every broker, acknowledged early or late. */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { eventually } from '../pool/eventually.ts';
import { brokerKinds, openBroker } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(300_000);

const tasks = `
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { task } from 'umbel';
const wait = async (context) => {
  writeFileSync('started-' + context.id, '');
  while (!existsSync('gate')) await delay(10);
  writeFileSync('ended-' + context.id, '');
};
export const early = task({ name: 'early', bind: true }, wait);
export const late = task({ name: 'late', bind: true, acksLate: true }, wait);
`;

for (const broker of brokerKinds) {
  void t.test(`nothing is held in reserve: ${broker}`, async (t) => {
    const folder = new LiveFolder(t);
    const { url } = await openBroker(t, broker, folder);
    folder.write('tasks.mjs', tasks);
    await startedApp(t, { broker: url, backend: 'disabled' });
    for (const kind of ['early', 'late']) {
      const env = { UMBEL_WORKER_DISABLE_PREFETCH: 'true' };
      const run = folder.file(kind);
      folder.write(`${kind}/.keep`, '');
      const names = (what: string): string[] => readdirSync(run).filter((file) => file.startsWith(`${what}-`));
      const start = (node: string, concurrency: number) =>
        folder.worker(['-A', folder.file('tasks.mjs'), '-b', url, '-c', String(concurrency), '-n', `${node}@localhost`], {
          env,
          cwd: run,
        });
      const task = taskHandle<[], void>(kind);
      const send = (count: number, prefix: string) =>
        Promise.all(Array.from({ length: count }, (_, n) => task.applyAsync({ taskId: `${prefix}${n}` })));
      const one = await start('one', 2).ready();
      await send(1, 'first');
      await eventually(t, 'one child is busy, the other is free', () => names('started').length === 1);
      await send(5, 'more');
      await eventually(t, 'both are', () => names('started').length === 2);
      const two = await start('two', 4).ready();
      await eventually(t, 'another worker begins all the rest', () => names('started').length === 6);
      t.strictSame(names('ended'), [], `${kind}: while none has ended`);
      folder.write(`${kind}/gate`, '');
      await eventually(t, 'all end', () => names('ended').length === 6);
      t.match(await two.stop(), { code: 0 });
      await send(20, 'again');
      await eventually(t, 'and it goes on', () => names('ended').length === 26);
      t.match(await one.stop(), { code: 0 });
    }
  });
}
