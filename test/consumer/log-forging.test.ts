/** What a message says cannot make lines of its own in the log, nor steer the terminal of who reads it. */
import t from 'tap';
import type { Message } from '../../src/protocol/message.ts';
import { Bench } from './consumer-bench.ts';
import { end, SettleBench } from './settle-bench.ts';

const forged = '\n[2026-11-22 00:00:00,000: CRITICAL/MainProcess] forged\x1b[31m';
const shown = '\\n[2026-11-22 00:00:00,000: CRITICAL/MainProcess] forged\\x1b[31m';

/** Every line by itself; those of a dump are the worker's own. */
function linesOf({ log }: { readonly log: { readonly lines: readonly { readonly message: string }[] } }): string[] {
  return log.lines.flatMap(({ message }) => message.split('\n'));
}

function isForged(line: string): boolean {
  return line.startsWith('[2026') || line.includes('\x1b');
}

const json = { contentType: 'application/json', contentEncoding: 'utf-8' };
const body = Buffer.from('[[], {}, {}]');

t.test('no message that is not run', async (t) => {
  const rows: readonly (readonly [string, Message])[] = [
    ['an unknown task', { properties: json, headers: { task: `tasks.nope${forged}`, id: `id${forged}` }, body }],
    ['a bad header', { properties: json, headers: { task: 'tasks.add', id: 'id', eta: forged }, body }],
    [
      'headers of no task',
      { properties: { ...json, contentEncoding: forged }, headers: { [forged]: forged }, body: Buffer.from(`{"a": 1}`) },
    ],
    ['a content type', { properties: { ...json, contentType: forged }, headers: { task: 'tasks.add', id: 'id' }, body }],
    ['a body', { properties: json, headers: {}, body: Buffer.from(`text${forged}`) }],
  ];
  for (const [title, message] of rows) {
    const bench = await Bench.started(t);
    await bench.send(message);
    const lines = linesOf(bench);
    t.same(lines.filter(isForged), [], title);
    t.ok(
      lines.some((line) => line.includes(shown)),
      `${title}: it is said, escaped`,
    );
  }
});

t.test('no task that is run: its name, its id, its result, its error', async (t) => {
  for (const kind of ['failed', 'retried', 'rejected', 'ignored', 'invalid', 'undecodable'] as const) {
    const bench = new SettleBench();
    const { request, job } = bench.request({}, { id: `id${forged}`, task: `tasks.add${forged}` });
    bench.settler.news.received(request);
    request.onStarted(job, 4711, 0);
    end(kind, { text: `Error('${forged}')` })(request, job);
    await bench.settler.idle();
    t.same(linesOf(bench).filter(isForged), [], kind);
    t.equal(bench.log.lines.at(-1)?.fields?.taskId, `id${forged}`, 'data of a line is as it came');
  }
  const bench = new SettleBench();
  const { request, job } = bench.request({}, { id: `id${forged}` });
  request.onStarted(job, 4711, 0);
  request.onSucceeded(job, 0.1, { text: `'${forged}'` }, JSON.stringify(forged));
  await bench.settler.idle();
  t.equal(bench.log.lines.at(-1)?.message, `Task tasks.add[id${shown}] succeeded in 0.1s: '${shown}'`);
});
