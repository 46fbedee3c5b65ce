/** What a child writes past its own logging. */
import { PassThrough } from 'node:stream';
import t from 'tap';
import { OutputLines } from '../../src/pool/output-lines.ts';
import { RecordingLog } from '../driver/recording-log.ts';

t.test('our own stdout and stderr may fail: a reader that has gone is not the end of the worker', async (t) => {
  const lines = new OutputLines({ log: new RecordingLog(), level: 'warning', redirect: false, childIndex: 1, jobs: new Map(), slots: 1 });
  const before = [process.stdout, process.stderr].map((stream) => stream.listeners('error'));
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error');
  t.teardown(() => {
    for (const [at, stream] of [process.stdout, process.stderr].entries()) {
      stream.removeAllListeners('error');
      for (const listener of before[at]!) stream.on('error', listener as (error: Error) => void);
    }
  });
  for (let child = 0; child < 20; child += 1) lines.attach(new PassThrough(), new PassThrough());
  for (const stream of [process.stdout, process.stderr]) {
    t.doesNotThrow(() => stream.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })));
    t.equal(stream.listenerCount('error'), 1, 'one listener, however many children');
  }
});
