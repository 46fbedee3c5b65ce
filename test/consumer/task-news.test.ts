/** What monitors are told of a task that has to wait, of one that is tried again, and of one that sends no events. */
import t from 'tap';
import { PlainDelivery } from '../../src/broker/plain-delivery.ts';
import { Request } from '../../src/consumer/request.ts';
import { type TaskEvents, TaskNews } from '../../src/consumer/task-news.ts';
import { createLogger } from '../../src/log/create-logger.ts';
import type { PlainTask } from '../../src/protocol/plain-task.ts';
import type { TaskHeader } from '../../src/protocol/task-message.ts';

const header = {
  id: 'id-1',
  task: 'proj.add',
  argsrepr: '(1, 2)',
  kwargsrepr: '{}',
  retries: 0,
  etaMs: 1_900_000_000_000,
  expiresMs: null,
};

function scene(): { news: TaskNews; sent: [string, Record<string, unknown>][]; request(wasDeferred: boolean): Request } {
  const sent: [string, Record<string, unknown>][] = [];
  const events: TaskEvents = {
    enabled: true,
    received: ({ id, etaMs }) => sent.push(['task-received', { uuid: id, etaMs }]),
    started: (uuid) => sent.push(['task-started', { uuid }]),
    succeeded: (uuid, result, runtime) => sent.push(['task-succeeded', { uuid, result, runtime }]),
    task: (type, fields) => sent.push([type, fields]),
  };
  const log = createLogger({ level: 'critical', format: 'text', processName: 'test' });
  const request = (wasDeferred: boolean): Request =>
    new Request({
      delivery: new PlainDelivery({ header } as unknown as PlainTask, 1, 'celery', 0, wasDeferred),
      header: header as unknown as TaskHeader,
      offer: { ignoreResult: false } as Request['offer'],
      listener: {} as never,
    });
  return { news: new TaskNews(log, events), sent, request };
}

t.test('a task with an ETA is received once: when it comes, and not again when it is due', async (t) => {
  const { news, sent, request } = scene();
  news.deferred({ header: header as unknown as TaskHeader, offer: request(true).offer, dueAtMs: header.etaMs });
  news.received(request(true));
  t.match(sent, [['task-received', { uuid: 'id-1', etaMs: header.etaMs }]]);
  t.equal(sent.length, 1);
  news.received(request(false));
  t.equal(sent.length, 2, 'one that nobody has deferred here');
});

t.test('a retry names its cause, as Celery does', async (t) => {
  const { news, sent, request } = scene();
  const meta = { kind: 'retried', text: "Retry in 5s: Error('again')", traceback: 'where' } as const;
  news.retried(request(false), 0.1, meta, JSON.stringify({ exc_type: 'Error', exc_message: ['again'], exc_module: 'builtins' }));
  news.retried(request(false), 0.1, { ...meta, traceback: null }, 'null');
  t.same(sent, [
    ['task-retried', { uuid: 'id-1', exception: "Error('again')", traceback: 'where' }],
    ['task-retried', { uuid: 'id-1', exception: 'None', traceback: '' }],
  ]);
});

/** Everything that can be told of a task. */
function tellAll({ news, request }: ReturnType<typeof scene>, sendEvents: boolean | undefined): void {
  const one = request(false);
  Object.assign(one.offer, { sendEvents });
  const ended = { kind: 'failed', text: 'E', traceback: null } as const;
  news.deferred({ header: one.header, offer: one.offer, dueAtMs: 1 });
  news.received(one);
  news.started(one, 1);
  news.succeeded(one, 0.1, null, '3');
  news.failed(one, 0.1, ended);
  news.retried(one, 0.1, { ...ended, kind: 'retried' }, 'null');
  news.rejected(one, 0.1, { ...ended, kind: 'rejected' });
  news.lost(one, null, 'E', null, {});
  news.cancelled(one);
  news.unwanted(one, 'revoked', '');
}

t.test('a task with sendEvents: false sends none', async (t) => {
  const ends = ['received', 'received', 'started', 'succeeded', 'failed', 'retried', 'rejected', 'failed', 'cancelled', 'revoked'];
  for (const option of [undefined, true]) {
    const loud = scene();
    tellAll(loud, option);
    t.same(
      loud.sent.map(([type]) => type),
      ends.map((end) => `task-${end}`),
    );
  }
  const silent = scene();
  tellAll(silent, false);
  t.same(silent.sent, []);
});
