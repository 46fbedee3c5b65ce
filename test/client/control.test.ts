/** Remote control from a program: `app.control` of an App, over the broker it has. What workers do with it: live/remote-control.test.ts. */
import { join } from 'node:path';
import t from 'tap';
import { WorkerApp } from '../../src/child/worker-app.ts';
import { App } from '../../src/client/umbel.ts';
import { controlCommands } from '../../src/control/control-commands.ts';
import { inspectCommands } from '../../src/control/inspect-commands.ts';
import { Mailbox } from '../../src/control/mailbox.ts';
import { Panel } from '../../src/control/panel.ts';
import { FakeSurface } from '../control/fake-surface.ts';
import { RecordingLog } from '../driver/recording-log.ts';

t.test('a program asks and revokes, under the exchange that its App names', async (t) => {
  const app = new App({ broker: `sqlite:///${join(t.testdir(), 'umbel.db')}`, controlExchange: 'shop' });
  await app.start();
  const surface = new FakeSurface('w1@x');
  const mailbox = new Mailbox({
    broker: app.broker,
    panel: new Panel([...inspectCommands, ...controlCommands]),
    surface,
    namespace: 'shop',
    acceptContent: ['json'],
    queueExpiresMs: 10_000,
    queueTtlMs: 300_000,
    log: new RecordingLog(),
  });
  await mailbox.start();
  try {
    await app.control.cast('revoke', { arguments: { task_id: 'a' } });
    const replies = await app.control.broadcast('ping', { destination: ['w1@x'], timeoutMs: 30_000 });
    t.match(replies, [{ nodeName: 'w1@x', value: { ok: 'pong' } }]);
    t.same(surface.done, [['revoke', ['a'], null]]);
  } finally {
    await mailbox.stop();
    await app.stop();
  }
});

t.test('inside a worker it is refused', async (t) => {
  t.throws(() => new WorkerApp().control, { code: 'NOT_SUPPORTED', message: /outside of workers/ });
});
